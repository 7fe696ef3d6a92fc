// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/collector.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <weft/collector/v1/collector.grpc.pb.h>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/run_id.h>

#include "storage_support.h"

namespace weft::collector {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CollectorTest : public ::testing::Test {
 protected:
  CollectorConfig Config() {
    CollectorConfig config;
    config.data = directory_.path() / "data";
    config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
    config.segment_size = 1 << 20;
    config.min_free = 0;
    return config;
  }

  std::unique_ptr<Collector> Start(CollectorConfig config) {
    auto collector = Collector::Start(std::move(config));
    EXPECT_TRUE(collector.ok()) << collector.status();
    return collector.ok() ? *std::move(collector) : nullptr;
  }

  static grpc::Status Send(const Collector& collector, RunId id, const std::string& key = "",
                           const std::string& inputs = "") {
    auto stub = v1::CollectorService::NewStub(
        grpc::CreateChannel(collector.addresses().grpc, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    if (!key.empty()) context.AddMetadata("x-api-key", key);
    v1::ExportRequest request;
    v1::RunOperation* const operation = request.mutable_batch()->add_operations();
    operation->set_kind(v1::RunOperation::KIND_POST);
    operation->set_run_id(id.bytes.data(), id.bytes.size());
    operation->set_run("{\"id\":\"" + id.ToString() + "\",\"name\":\"n\"}");
    if (!inputs.empty()) operation->set_inputs(inputs);
    v1::ExportResponse response;
    return stub->Export(&context, request, &response);
  }

  TemporaryDirectory directory_;
};

TEST_F(CollectorTest, TakesRunsCountsThemAndHandsThemToDestinations) {
  CollectorConfig config = Config();
  const std::filesystem::path file = directory_.path() / "runs.jsonl";
  config.forward = {{DestinationConfig::Kind::kFile, file.string(), ""}};
  auto collector = Start(config);
  ASSERT_NE(collector, nullptr);
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_TRUE(Send(*collector, IdOf(i)).ok());
  EXPECT_THAT(collector->Metrics(),
              AllOf(HasSubstr("weft_received_runs_total{receiver=\"weft\"} 5\n"),
                    HasSubstr("weft_logged_runs_total{receiver=\"weft\"} 5\n"),
                    HasSubstr("weft_log_fsync_seconds_bucket{le=\"0.0001\"}"),
                    HasSubstr("weft_log_fsync_seconds_bucket{le=\"+Inf\"} "),
                    HasSubstr("process_resident_memory_bytes "), HasSubstr("weft_build_info{"),
                    HasSubstr("weft_dest_lag_runs{dest=\"file=" + file.string() + "\"}")));
  collector.reset();
  // What was not delivered before the stop is delivered after the next start.
  collector = Start(config);
  ASSERT_NE(collector, nullptr);
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  const auto lines = [&] {
    std::ifstream in(file);
    return std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  };
  while (lines() < 5 && std::chrono::steady_clock::now() < deadline) {
    EXPECT_FALSE(collector->Metrics().empty());
  }
  EXPECT_EQ(lines(), 5);
}

TEST_F(CollectorTest, IsReadyUntilItStops) {
  auto collector = Start(Config());
  ASSERT_NE(collector, nullptr);
  EXPECT_TRUE(collector->Ready().ok()) << collector->Ready();
  collector->Stop();
  EXPECT_FALSE(collector->Ready().ok());
  collector->Stop();
}

TEST_F(CollectorTest, SaysWhenItsAnswersDoNotWaitForTheDisk) {
  CollectorConfig config = Config();
  for (const AckMode ack : {AckMode::kDurable, AckMode::kMemory}) {
    config.ack = ack;
    ::testing::internal::CaptureStderr();
    auto collector = Start(config);
    const std::string lines = ::testing::internal::GetCapturedStderr();
    ASSERT_NE(collector, nullptr);
    const bool is_memory = ack == AckMode::kMemory;
    EXPECT_EQ(lines.find("a crash loses acknowledged runs") != std::string::npos, is_memory);
    EXPECT_THAT(collector->Status(),
                HasSubstr(is_memory ? "\"ack\":\"memory\"" : "\"ack\":\"durable\""));
    EXPECT_TRUE(Send(*collector, IdOf(is_memory ? 1 : 2)).ok());
    // A stop writes what was acknowledged.
    collector->Stop();
    EXPECT_THAT(collector->Metrics(), HasSubstr("weft_logged_runs_total{receiver=\"weft\"} 1\n"));
  }
}

TEST_F(CollectorTest, IsNotReadyAndRefusesWhileTheDiskIsLow) {
  CollectorConfig config = Config();
  config.min_free = ~std::uint64_t{0} >> 1;
  auto collector = Start(config);
  ASSERT_NE(collector, nullptr);
  EXPECT_FALSE(collector->Ready().ok());
  EXPECT_EQ(Send(*collector, IdOf(1)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

// Mebibytes, more than a destination reads ahead. WEFT_STOP_QUEUE_MIB=1024 is a test of a minute.
std::uint64_t QueuedRuns() {
  const char* const wanted = std::getenv("WEFT_STOP_QUEUE_MIB");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 24;
}

TEST_F(CollectorTest, StopsWithALongQueueForATargetThatIsDownAndGoesOnWhenItIsBack) {
  const std::uint64_t queued = QueuedRuns();
  constexpr std::size_t kBytes = 1 << 20;
  auto langsmith = testing::FakeLangSmith::Start();
  langsmith->SetDefault({.status = 503});
  CollectorConfig config = Config();
  config.segment_size = 4 << 20;
  config.forward = {{DestinationConfig::Kind::kLangSmith, langsmith->url(), "key"}};
  std::map<std::string, std::string> sent;
  {
    auto collector = Start(config);
    ASSERT_NE(collector, nullptr);
    std::mt19937_64 random(1);
    for (std::uint64_t i = 0; i < queued; ++i) {
      std::string text(kBytes, ' ');
      for (char& c : text) c = static_cast<char>('0' + random() % 64);
      std::replace(text.begin(), text.end(), '\\', '/');
      std::string& inputs = sent[IdOf(i).ToString()];
      inputs = "{\"text\":\"" + text + "\"}";
      ASSERT_TRUE(Send(*collector, IdOf(i), "", inputs).ok());
    }
    const auto before = std::chrono::steady_clock::now();
    collector->Stop();
    const auto took = std::chrono::steady_clock::now() - before;
    RecordProperty("stop_ms", std::to_string(took / std::chrono::milliseconds(1)));
    EXPECT_THAT(collector->Metrics(),
                HasSubstr("weft_logged_runs_total{receiver=\"weft\"} " + std::to_string(queued)));
  }
  langsmith->SetDefault({.status = 202});
  auto collector = Start(config);
  ASSERT_NE(collector, nullptr);
  ASSERT_TRUE(langsmith->WaitUntil(
      [queued](const testing::FakeLangSmith& fake) { return fake.RunIds().size() == queued; },
      seconds(60 + queued / 4)));
  for (const testing::FakeLangSmith::Request& request : langsmith->Requests()) {
    for (const auto& [id, inputs] : sent) {
      const auto part = request.Find("post." + id + ".inputs");
      EXPECT_TRUE(!part || *part == inputs) << id;
    }
  }
  const std::string dest = "{dest=\"langsmith=" + langsmith->url() + "\"} ";
  const auto deadline = std::chrono::steady_clock::now() + seconds(30);
  while (std::chrono::steady_clock::now() < deadline &&
         collector->Metrics().find("weft_dest_lag_runs" + dest + "0\n") == std::string::npos) {
  }
  // Counts begin with the process: what lay in the log is what this one had to send.
  const std::string all = std::to_string(queued) + "\n";
  EXPECT_THAT(collector->Metrics(),
              AllOf(HasSubstr("weft_dest_logged_runs_total" + dest + all),
                    HasSubstr("weft_dest_sent_runs_total" + dest + all),
                    HasSubstr("weft_dest_expired_runs_total" + dest + "0\n")));
}

TEST_F(CollectorTest, ReloadTakesOverKeysOrNothing) {
  CollectorConfig config = Config();
  const std::filesystem::path file = directory_.path() / "sub" / "runs.jsonl";
  std::filesystem::create_directories(file.parent_path());
  config.forward = {{DestinationConfig::Kind::kFile, file.string(), ""}};
  config.keys = {{"one", "first"}};
  auto collector = Start(config);
  ASSERT_NE(collector, nullptr);
  EXPECT_TRUE(Send(*collector, IdOf(1), "first").ok());
  config.keys = {{"two", "second"}};
  EXPECT_TRUE(collector->Reload(config).ok());
  EXPECT_EQ(Send(*collector, IdOf(2), "first").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(Send(*collector, IdOf(3), "second").ok());
  // Now the file cannot be opened anew: the keys stay, too.
  std::filesystem::rename(file.parent_path(), directory_.path() / "moved");
  config.keys = {{"three", "third"}};
  EXPECT_FALSE(collector->Reload(config).ok());
  EXPECT_TRUE(Send(*collector, IdOf(4), "second").ok());
  EXPECT_FALSE(Send(*collector, IdOf(5), "third").ok());
}

TEST_F(CollectorTest, ErrorsNameTheDirectoryAndTheOption) {
  auto collector = Start(Config());
  ASSERT_NE(collector, nullptr);
  EXPECT_THAT(std::string(Collector::Start(Config()).status().message()),
              HasSubstr((directory_.path() / "data").string()));
  CollectorConfig taken = Config();
  taken.data = directory_.path() / "other";
  taken.listen_http = collector->addresses().http;
  EXPECT_THAT(std::string(Collector::Start(taken).status().message()),
              AllOf(HasSubstr("--listen-http"), HasSubstr(taken.listen_http)));
  taken.listen_http = "127.0.0.1:0";
  taken.forward = {{DestinationConfig::Kind::kFile, "/does/not/exist/runs", ""}};
  EXPECT_THAT(std::string(Collector::Start(taken).status().message()),
              AllOf(HasSubstr("--forward"), HasSubstr("/does/not/exist/runs")));
}

}  // namespace
}  // namespace weft::collector
