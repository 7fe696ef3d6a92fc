// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/ingest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/collector/keys.h>
#include <weft/collector/metrics.h>

#include "log_impl.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using testing::HasSubstr;
using testing::Not;

// Keeps what is appended and answers when it is told to.
class ManualLog final : public Log {
 public:
  void Append(RecordHeader header, std::string payload, Done done) override {
    headers.push_back(std::move(header));
    payloads.push_back(std::move(payload));
    if (!refusal.ok()) return done(refusal);
    waiting.push_back(std::move(done));
  }
  absl::Status Ready() const override { return ready; }
  absl::StatusOr<Record> Read(Position) const override { return absl::NotFoundError(""); }
  absl::StatusOr<Record> ReadHeader(Position) const override { return absl::NotFoundError(""); }
  Position Begin() const override { return {}; }
  Position DurableEnd() const override { return {}; }
  std::vector<SegmentInfo> Segments() const override { return {}; }
  const std::filesystem::path& directory() const override { return path; }
  bool WaitForRecord(Position, std::chrono::milliseconds) const override { return false; }
  void SetRequired(const std::string&, Position) override {}
  void Close() override {}
  LogStats Stats() const override { return {}; }

  void Answer(const absl::StatusOr<Position>& position) {
    for (Done& done : std::exchange(waiting, {})) done(position);
  }

  absl::Status ready;
  absl::Status refusal;  // of Append, at once
  std::filesystem::path path;
  std::vector<RecordHeader> headers;
  std::vector<std::string> payloads;
  std::vector<Done> waiting;
};

class IngestTest : public testing::Test {
 protected:
  void SetUp() override {
    keys_ = std::shared_ptr<KeyRing>(KeyRing::Open(directory_).value());
    Create(64 << 20);
  }

  void Create(std::uint64_t max_parked_bytes, AckMode ack = AckMode::kDurable,
              std::shared_ptr<Log> log = nullptr) {
    ingest_ = Ingest::Create({.log = log != nullptr ? log : log_,
                              .keys = keys_,
                              .parked_file = directory_ / "parked" / "received.jsonl",
                              .max_parked_bytes = max_parked_bytes,
                              .ack = ack})
                  .value();
  }

  static IngestBatch Batch(std::size_t valid, std::size_t invalid) {
    IngestBatch batch;
    batch.header.receiver = Receiver::kWeft;
    batch.header.ops.resize(valid);
    for (std::size_t i = 0; i < invalid; ++i) {
      batch.rejected.push_back({i, "run.id: missing", "{\"bad\":\xff}"});
    }
    return batch;
  }

  std::string Parked() {
    std::ifstream in(directory_ / "parked" / "received.jsonl");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const IngestStats& Stats() { return ingest_->stats(Receiver::kWeft); }
  void ExpectConserved() {
    EXPECT_EQ(Stats().received, Stats().logged + Stats().refused + Stats().parked);
  }

  const TemporaryDirectory temporary_;
  const std::filesystem::path directory_ = temporary_.path();
  std::shared_ptr<ManualLog> log_ = std::make_shared<ManualLog>();
  std::shared_ptr<KeyRing> keys_;
  std::unique_ptr<Ingest> ingest_;
};

TEST_F(IngestTest, AnswersOnlyOnceTheLogHasIt) {
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(3, 0), [&](absl::Status status) { answers.push_back(status); });
  EXPECT_TRUE(answers.empty());
  EXPECT_EQ(ingest_->logged(), 0u);
  log_->Answer(Position{});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].ok());
  EXPECT_EQ(ingest_->logged(), 3u);
  EXPECT_GT(log_->headers[0].received_us, 0u);
  ExpectConserved();
}

TEST_F(IngestTest, ParksInvalidOperationsBesideValidOnes) {
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(2, 1), [&](absl::Status status) { answers.push_back(status); });
  EXPECT_THAT(Parked(), HasSubstr("run.id: missing"));
  log_->Answer(Position{});
  EXPECT_TRUE(answers.at(0).ok());
  EXPECT_EQ(Stats().parked, 1u);
  EXPECT_EQ(Stats().logged, 2u);
  ExpectConserved();
}

TEST_F(IngestTest, OnlyInvalidOperationsNeverReachTheLog) {
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(0, 2), [&](absl::Status status) { answers.push_back(status); });
  EXPECT_TRUE(answers.at(0).ok());
  EXPECT_TRUE(log_->headers.empty());
  EXPECT_EQ(Stats().parked, 2u);
}

TEST_F(IngestTest, AFullParkedFileCountsAndGoesOn) {
  Create(10);
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(0, 2), [&](absl::Status status) { answers.push_back(status); });
  EXPECT_TRUE(answers.at(0).ok());
  EXPECT_EQ(Stats().parked, 2u);
  EXPECT_EQ(Stats().parked_unkept, 2u);
  EXPECT_EQ(Parked(), "");
  ExpectConserved();
}

TEST_F(IngestTest, RefusesWithoutParkingWhenTheLogIsNotReady) {
  log_->ready = absl::UnavailableError("disk low");
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(2, 1), [&](absl::Status status) { answers.push_back(status); });
  EXPECT_TRUE(absl::IsUnavailable(answers.at(0)));
  EXPECT_EQ(Parked(), "");
  EXPECT_EQ(Stats().refused, 3u);
  ExpectConserved();
}

TEST_F(IngestTest, MapsErrorsOfTheLogToTryAgain) {
  for (const auto& [error, code] : std::vector<std::pair<absl::Status, absl::StatusCode>>{
           {absl::ResourceExhaustedError("full"), absl::StatusCode::kResourceExhausted},
           {absl::InternalError("sync"), absl::StatusCode::kUnavailable},
           {absl::UnavailableError("low"), absl::StatusCode::kUnavailable}}) {
    std::vector<absl::Status> answers;
    ingest_->Accept(Batch(1, 0), [&](absl::Status status) { answers.push_back(status); });
    log_->Answer(error);
    EXPECT_EQ(answers.at(0).code(), code);
  }
  EXPECT_EQ(Stats().refused, 3u);
  ExpectConserved();
}

// Whose syncs wait until they are let go.
class HeldSyncs final : public FileSystem {
 public:
  int SyncData(int fd) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    return FileSystem::SyncData(fd);
  }
  void WaitForOne() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ > 0; });
  }
  void LetGo() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

TEST_F(IngestTest, AnswersBeforeTheSyncOnlyWhereItMay) {
  for (const AckMode mode : {AckMode::kDurable, AckMode::kMemory}) {
    const TemporaryDirectory directory;
    HeldSyncs files;
    const std::shared_ptr<Log> log = *LogImpl::Open(SmallLog(directory.path()), files);
    Create(1 << 20, mode, log);
    std::atomic<int> answers{0};
    std::promise<absl::Status> answer;
    ingest_->Accept(Batch(3, 0), [&](absl::Status status) {
      ++answers;
      answer.set_value(std::move(status));
    });
    files.WaitForOne();
    EXPECT_EQ(answers, mode == AckMode::kMemory ? 1 : 0);
    EXPECT_EQ(ingest_->logged(), 0u);
    MetricsWriter during;
    ingest_->WriteMetrics(during);
    EXPECT_THAT(during.Take(), HasSubstr(mode == AckMode::kMemory ? "weft_unsynced_runs 3\n"
                                                                  : "weft_unsynced_runs 0\n"));
    files.LetGo();
    EXPECT_TRUE(answer.get_future().get().ok());
    log->Close();
    EXPECT_EQ(answers, 1);
    EXPECT_EQ(ingest_->logged(), 3u);
    MetricsWriter after;
    ingest_->WriteMetrics(after);
    EXPECT_THAT(after.Take(), HasSubstr("weft_unsynced_runs 0\n"));
    ExpectConserved();
    ingest_.reset();
  }
}

TEST_F(IngestTest, WhatTheDiskDidNotTakeAfterItsAnswerIsCountedAsLost) {
  Create(1 << 20, AckMode::kMemory);
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(3, 0), [&](absl::Status status) { answers.push_back(status); });
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].ok());
  log_->Answer(absl::UnavailableError("sync failed"));
  EXPECT_EQ(answers.size(), 1u);
  EXPECT_EQ(Stats().lost, 3u);
  ExpectConserved();
  MetricsWriter out;
  ingest_->WriteMetrics(out);
  EXPECT_THAT(out.Take(), testing::AllOf(HasSubstr("weft_lost_runs_total{receiver=\"weft\"} 3\n"),
                                         HasSubstr("{receiver=\"weft\",reason=\"lost\"} 3\n"),
                                         HasSubstr("weft_unsynced_runs 0\n")));
}

TEST_F(IngestTest, WhatTheLogRefusesAtOnceIsNotAcknowledged) {
  Create(1 << 20, AckMode::kMemory);
  log_->refusal = absl::ResourceExhaustedError("too much waits for the disk");
  std::vector<absl::Status> answers;
  ingest_->Accept(Batch(3, 0), [&](absl::Status status) { answers.push_back(status); });
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(absl::IsResourceExhausted(answers[0]));
  EXPECT_EQ(Stats().lost, 0u);
  EXPECT_EQ(Stats().refused, 3u);
  ExpectConserved();
}

TEST_F(IngestTest, RemembersTheCallersKeyBeforeTheRecord) {
  IngestBatch batch = Batch(1, 0);
  batch.api_key = "lsv2_pt_caller";
  ingest_->Accept(std::move(batch), [](absl::Status) {});
  const std::uint64_t id = log_->headers.at(0).key_id;
  EXPECT_NE(id, 0u);
  EXPECT_EQ(KeyRing::Open(directory_).value()->Find(id), "lsv2_pt_caller");
}

TEST_F(IngestTest, MetricsHoldTheCountsAndNoKey) {
  IngestBatch batch = Batch(2, 0);
  batch.api_key = "lsv2_pt_caller";
  ingest_->Accept(std::move(batch), [](absl::Status) {});
  log_->Answer(Position{});
  ingest_->CountRefused(Receiver::kLangSmith, "unauthenticated", 4);
  MetricsWriter out;
  ingest_->WriteMetrics(out);
  const std::string text = out.Take();
  EXPECT_THAT(text, HasSubstr("weft_received_runs_total{receiver=\"weft\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("weft_logged_runs_total{receiver=\"weft\"} 2\n"));
  EXPECT_THAT(
      text,
      HasSubstr("weft_refused_runs_total{receiver=\"langsmith\",reason=\"unauthenticated\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("weft_ack_seconds_count 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("lsv2_pt_caller")));
}

}  // namespace
}  // namespace weft::collector
