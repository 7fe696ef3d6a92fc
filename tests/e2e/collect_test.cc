// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <weft/collector/v1/collector.grpc.pb.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/run_id.h>

#include "collector_process.h"

namespace weft::e2e {
namespace {

namespace v1 = weft::collector::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using weft::testing::FakeLangSmith;

constexpr seconds kPatience{60};

RunId NewId() { return RunId::New(std::chrono::system_clock::now()); }

std::string RunText(RunId id) {
  const std::string text = id.ToString();
  return "{\"id\":\"" + text + "\",\"trace_id\":\"" + text +
         "\",\"dotted_order\":\"20261121T130000000000Z" + text +
         "\",\"name\":\"step\",\"run_type\":\"chain\",\"start_time\":\"2026-11-21T13:00:00."
         "000000Z\","
         "\"session_name\":\"e2e\"}";
}

std::string BytesOf(RunId id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

std::string Content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class CollectTest : public ::testing::Test {
 protected:
  CollectTest() : path_(::testing::TempDir() + "weft-e2e-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~CollectTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  std::filesystem::path Path(const std::string& name) { return path_ + "/" + name; }

  std::string WriteFile(const std::string& name, const std::string& content) {
    std::ofstream(Path(name)) << content;
    return Path(name).string();
  }

  // Asks again and again; every look is a request, so nothing spins.
  static bool WaitForMetrics(const CollectorProcess& collector,
                             const std::function<bool(const std::string&)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (wanted(Http("GET", collector.http() + "/metrics").body)) return true;
    }
    return false;
  }

  std::string path_;
};

// Where writers find the collector that runs at the moment, and what was acknowledged to them.
class Board {
 public:
  void Announce(const CollectorProcess& collector) {
    std::lock_guard lock(mutex_);
    grpc_ = collector.grpc();
    http_ = collector.http();
    ++generation_;
    changed_.notify_all();
  }
  // The addresses of a collector other than the one of `generation`. False: over.
  bool Next(int& generation, std::string& grpc, std::string& http) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_ || generation_ != generation; });
    generation = generation_;
    grpc = grpc_;
    http = http_;
    return !over_;
  }
  void Acknowledged(const std::vector<RunId>& ids) {
    std::lock_guard lock(mutex_);
    acknowledged_.insert(ids.begin(), ids.end());
    changed_.notify_all();
  }
  bool WaitForAcknowledged(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return acknowledged_.size() >= count; });
  }
  void End() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  bool over() {
    std::lock_guard lock(mutex_);
    return over_;
  }
  std::set<RunId> acknowledged() {
    std::lock_guard lock(mutex_);
    return acknowledged_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string grpc_;
  std::string http_;
  int generation_ = 0;
  bool over_ = false;
  std::set<RunId> acknowledged_;
};

constexpr int kBatch = 5;

// Streams batches with a window of 4 until the stream breaks.
void StreamUntilBroken(const std::string& address, Board& board) {
  auto stub = v1::CollectorService::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto stream = stub->ExportStream(&context);
  std::map<std::uint64_t, std::vector<RunId>> unanswered;
  v1::ExportStreamResponse response;
  for (std::uint64_t batch = 1; !board.over(); ++batch) {
    v1::ExportStreamRequest request;
    request.set_batch_id(batch);
    std::vector<RunId>& ids = unanswered[batch];
    for (int i = 0; i < kBatch; ++i) {
      ids.push_back(NewId());
      v1::RunOperation* const operation = request.mutable_batch()->add_operations();
      operation->set_kind(v1::RunOperation::KIND_POST);
      operation->set_run_id(BytesOf(ids.back()));
      operation->set_run(RunText(ids.back()));
      operation->set_inputs("{\"text\":\"" + std::string(500, 'x') + "\"}");
    }
    if (!stream->Write(request)) break;
    while (unanswered.size() >= 4) {
      if (!stream->Read(&response)) break;
      if (response.batch_id() == 0) continue;
      if (response.result().code() == 0) board.Acknowledged(unanswered[response.batch_id()]);
      unanswered.erase(response.batch_id());
    }
    if (unanswered.size() >= 4) break;
  }
  context.TryCancel();
  stream->Finish();
}

void PostUntilBroken(const std::string& url, Board& board) {
  while (!board.over()) {
    std::vector<RunId> ids;
    std::string runs;
    for (int i = 0; i < kBatch; ++i) {
      ids.push_back(NewId());
      runs += (i == 0 ? "" : ",") + RunText(ids.back());
    }
    const HttpAnswer answer = Http("POST", url + "/runs/batch", "{\"post\":[" + runs + "]}");
    if (answer.status == 0) return;
    if (answer.status == 202) board.Acknowledged(ids);
  }
}

template <typename Write>
std::thread Writer(Board& board, Write write) {
  return std::thread([&board, write] {
    int generation = 0;
    std::string grpc;
    std::string http;
    while (board.Next(generation, grpc, http)) write(grpc, http);
  });
}

TEST_F(CollectTest, LosesNothingThatItAcknowledgedOverTwentyKills) {
  const unsigned seed = std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  std::minstd_rand random(seed);
  const std::vector<std::string> forward = {"--forward", "file=" + Path("runs.jsonl").string()};
  Board board;
  std::thread streamer = Writer(board, [&board](const std::string& grpc, const std::string&) {
    StreamUntilBroken(grpc, board);
  });
  std::thread poster = Writer(board, [&board](const std::string&, const std::string& http) {
    PostUntilBroken(http, board);
  });
  bool alive = true;
  for (int round = 0; round < 20 && alive; ++round) {
    CollectorProcess collector(Path("data"), forward);
    alive = collector.listening();
    EXPECT_TRUE(alive) << collector.process().Errors();
    board.Announce(collector);
    const std::size_t before = board.acknowledged().size();
    EXPECT_TRUE(board.WaitForAcknowledged(before + 20 + random() % 100)) << "round " << round;
    collector.Kill();
  }
  CollectorProcess last(Path("data"), forward);
  EXPECT_TRUE(last.listening()) << last.process().Errors();
  board.End();
  streamer.join();
  poster.join();

  ASSERT_TRUE(WaitForMetrics(last, [](const std::string& text) {
    return text.find("weft_dest_lag_runs{") != std::string::npos &&
           Metric(text, "weft_dest_lag_runs") == 0 && Metric(text, "weft_store_lag_records") == 0;
  }));
  const std::set<RunId> acknowledged = board.acknowledged();
  ASSERT_GT(acknowledged.size(), 400u);
  std::size_t unread = 0;
  for (const RunId& id : acknowledged) {
    unread += Http("GET", last.http() + "/runs/" + id.ToString()).status == 200 ? 0 : 1;
  }
  EXPECT_EQ(unread, 0u) << "of " << acknowledged.size() << ", seed " << seed;
  EXPECT_EQ(last.Stop(), 0) << last.process().Errors();

  std::set<std::string> written;
  std::ifstream lines(Path("runs.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    written.emplace(boost::json::parse(line).at("run_id").as_string().c_str());
  }
  for (const RunId& id : acknowledged) EXPECT_TRUE(written.contains(id.ToString())) << seed;
}

TEST_F(CollectTest, ForwardsEverythingThroughOutagesAndRestarts) {
  auto langsmith = FakeLangSmith::Start();
  const int port = langsmith->port();
  const std::vector<std::string> forward = {"--forward", "langsmith=" + langsmith->url()};
  const std::map<std::string, std::string> environment = {{"LANGSMITH_API_KEY", "lsv2_own"}};
  std::set<std::string> sent;
  const auto post = [&sent](const CollectorProcess& collector, int count) {
    for (int i = 0; i < count; ++i) {
      const RunId id = NewId();
      const auto answer =
          Http("POST", collector.http() + "/runs/batch", "{\"post\":[" + RunText(id) + "]}");
      ASSERT_EQ(answer.status, 202) << answer.body;
      sent.insert(id.ToString());
    }
  };
  FakeLangSmith::Reply unavailable;
  unavailable.status = 503;
  FakeLangSmith::Reply reset;
  reset.reset = true;
  langsmith->Script({unavailable, reset, unavailable, reset});
  {
    CollectorProcess collector(Path("data"), forward, environment);
    ASSERT_TRUE(collector.listening()) << collector.process().Errors();
    post(collector, 20);
    ASSERT_TRUE(langsmith->WaitUntil(
        [](const FakeLangSmith& fake) { return fake.RunIds().size() == 20; }, kPatience));
    // What it took is gone with it, but for an answer that the collector did not see.
    langsmith.reset();
    sent.clear();
    post(collector, 20);
    collector.Kill();
  }
  {
    CollectorProcess collector(Path("data"), forward, environment);
    ASSERT_TRUE(collector.listening()) << collector.process().Errors();
    post(collector, 20);
    ASSERT_TRUE(WaitForMetrics(collector, [](const std::string& text) {
      return Metric(text, "weft_dest_errors_total") >= 2;
    }));
    EXPECT_EQ(collector.Stop(), 0);
  }
  langsmith = FakeLangSmith::Start(port);
  ASSERT_NE(langsmith, nullptr);
  CollectorProcess collector(Path("data"), forward, environment);
  ASSERT_TRUE(collector.listening()) << collector.process().Errors();
  post(collector, 20);
  ASSERT_TRUE(WaitForMetrics(collector, [](const std::string& text) {
    return Metric(text, "weft_dest_sent_runs_total") > 0 && Metric(text, "weft_dest_lag_runs") == 0;
  }));
  const std::string text = Http("GET", collector.http() + "/metrics").body;
  EXPECT_EQ(Metric(text, "weft_dest_logged_runs_total"), Metric(text, "weft_dest_sent_runs_total") +
                                                             Metric(text, "weft_dest_parked_runs") +
                                                             Metric(text, "weft_dest_lag_runs"));
  EXPECT_EQ(Metric(text, "weft_received_runs_total"), Metric(text, "weft_logged_runs_total") +
                                                          Metric(text, "weft_refused_runs_total") +
                                                          Metric(text, "weft_parked_runs_total"));
  EXPECT_EQ(collector.Stop(), 0);
  const std::vector<std::string> ids = langsmith->RunIds();
  const std::set<std::string> arrived(ids.begin(), ids.end());
  EXPECT_TRUE(std::includes(arrived.begin(), arrived.end(), sent.begin(), sent.end()));
  EXPECT_EQ(sent.size(), 60u);
  for (const auto& request : langsmith->Requests()) {
    EXPECT_EQ(request.Header("x-api-key"), "lsv2_own");
  }
}

TEST_F(CollectTest, SaysWhereItListensAndStopsCleanly) {
  CollectorProcess collector(Path("data"), {"--ready-file", Path("ready.json").string()});
  ASSERT_TRUE(collector.listening()) << collector.process().Errors();
  const boost::json::value ready = boost::json::parse(Content(Path("ready.json")));
  EXPECT_EQ(ready.at("pid"), collector.process().pid());
  EXPECT_EQ(ready.at("grpc"), collector.grpc().c_str());
  EXPECT_EQ("http://" + std::string(ready.at("http").as_string()), collector.http());
  EXPECT_EQ("http://" + std::string(ready.at("otlp_http").as_string()), collector.otlp_http());
  EXPECT_EQ(Http("GET", collector.http() + "/live").status, 200);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (Http("GET", collector.http() + "/ready").status != 200 &&
         std::chrono::steady_clock::now() < deadline) {
  }
  EXPECT_EQ(Http("GET", collector.http() + "/ready").status, 200);
  const HttpAnswer otlp = Http("POST", collector.otlp_http() + "/v1/traces", "{}");
  EXPECT_EQ(otlp.status, 200);
  EXPECT_EQ(collector.Stop(), 0);
}

TEST_F(CollectTest, ASecondSignalEndsItAtOnce) {
  CollectorProcess collector(Path("data"));
  ASSERT_TRUE(collector.listening());
  // A request that never becomes whole keeps the first signal's stop waiting.
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(
      std::stoi(collector.http().substr(collector.http().rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string head =
      "POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 1000\r\n\r\n{";
  ASSERT_EQ(::write(descriptor, head.data(), head.size()), static_cast<ssize_t>(head.size()));
  ASSERT_TRUE(WaitForMetrics(
      collector, [](const std::string& text) { return Metric(text, "weft_inflight_bytes") > 0; }));
  collector.process().Signal(SIGINT);
  ASSERT_TRUE(collector.process().WaitForText("stopping"));
  collector.process().Signal(SIGTERM);
  EXPECT_TRUE(collector.process().WaitForEnd().has_value());
  EXPECT_THAT(collector.process().Errors(), Not(HasSubstr("stopped")));
  ::close(descriptor);
}

TEST_F(CollectTest, WantsKeysAndTakesOverNewOnesOnHangup) {
  const std::string key_file = WriteFile("key", "first-key\n");
  const std::string config =
      WriteFile("weft.yaml", "auth:\n  keys:\n    - {name: one, key_file: " + key_file + "}\n");
  CollectorProcess collector(Path("data"), {"--config", config});
  ASSERT_TRUE(collector.listening()) << collector.process().Errors();
  const auto post = [&](const std::string& key) {
    const std::vector<std::string> headers =
        key.empty() ? std::vector<std::string>() : std::vector{"x-api-key: " + key};
    return Http("POST", collector.http() + "/runs/batch", "{\"post\":[" + RunText(NewId()) + "]}",
                headers)
        .status;
  };
  const auto grpc = [&](const std::string& key) {
    auto stub = v1::CollectorService::NewStub(
        grpc::CreateChannel(collector.grpc(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    if (!key.empty()) context.AddMetadata("x-api-key", key);
    v1::ExportResponse response;
    return stub->Export(&context, {}, &response).error_code();
  };
  EXPECT_EQ(post(""), 401);
  EXPECT_EQ(post("second-key"), 401);
  EXPECT_EQ(post("first-key"), 202);
  EXPECT_EQ(grpc(""), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(grpc("first-key"), grpc::StatusCode::OK);
  for (const char* path : {"/live", "/metrics", "/info"}) {
    EXPECT_EQ(Http("GET", collector.http() + path).status, 200) << path;
  }
  WriteFile("key", "second-key\n");
  collector.process().Signal(SIGHUP);
  ASSERT_TRUE(collector.process().WaitForText("reloaded"));
  EXPECT_EQ(post("first-key"), 401);
  EXPECT_EQ(post("second-key"), 202);
  WriteFile("weft.yaml", "auht:\n  keys: []\n");
  collector.process().Signal(SIGHUP);
  ASSERT_TRUE(collector.process().WaitForText("not reloaded"));
  EXPECT_EQ(post("second-key"), 202);
  EXPECT_THAT(Http("GET", collector.http() + "/metrics").body, Not(HasSubstr("second-key")));
  EXPECT_EQ(collector.Stop(), 0);
  EXPECT_THAT(collector.process().Errors(), AllOf(HasSubstr("auht"), Not(HasSubstr("-key\""))));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(Path("data"))) {
    if (!entry.is_regular_file()) continue;
    EXPECT_THAT(Content(entry.path()),
                AllOf(Not(HasSubstr("first-key")), Not(HasSubstr("second-key"))))
        << entry.path();
  }
}

TEST_F(CollectTest, PortsAndDirectoriesInUseAreNamed) {
  CollectorProcess first(Path("data"));
  ASSERT_TRUE(first.listening());
  CollectorProcess same_data(Path("data"));
  EXPECT_EQ(same_data.process().WaitForEnd(), 1);
  EXPECT_THAT(same_data.process().Errors(), HasSubstr(Path("data").string()));
  const std::vector<std::pair<std::string, std::string>> taken = {
      {"--listen-grpc", first.grpc()},
      {"--listen-http", first.http().substr(7)},
      {"--listen-otlp-http", first.otlp_http().substr(7)}};
  for (const auto& [option, address] : taken) {
    CollectorProcess second(Path("other"), {option, address});
    EXPECT_EQ(second.process().WaitForEnd(), 1) << option;
    EXPECT_THAT(second.process().Errors(), AllOf(HasSubstr(option), HasSubstr(address)));
  }
  WriteFile("file", "");
  CollectorProcess not_a_directory(Path("file"));
  EXPECT_EQ(not_a_directory.process().WaitForEnd(), 1);
  EXPECT_THAT(not_a_directory.process().Errors(), HasSubstr(Path("file").string()));
  EXPECT_EQ(first.Stop(), 0);
}

TEST_F(CollectTest, WrongUseAndWrongConfigurationHaveTheirStatus) {
  struct Case {
    std::vector<std::string> arguments;
    int status;
    std::string text;
  };
  const std::string unknown = WriteFile("unknown.yaml", "data: /tmp\nlisten: x\n");
  const std::string wrong = WriteFile("wrong.yaml", "log:\n  min_free: much\n");
  const std::string kafka = WriteFile("kafka.yaml", "forward:\n  - kafka=h:9092/t\n");
  const std::vector<Case> cases = {
      {{"--frobnicate"}, 2, "--frobnicate"},
      {{"--listen-http"}, 2, "--listen-http"},
      {{"--listen-http", "x"}, 2, "--listen-http"},
      {{"--forward", "otlp=ftp://h:1"}, 2, "otlp=ftp://h:1"},
      {{"--forward", "nonsense"}, 2, "--forward"},
      {{"--config", Path("none.yaml").string()}, 78, Path("none.yaml").string()},
      {{"--config", unknown}, 78, unknown + ":2: listen"},
      {{"--config", wrong}, 78, wrong + ":2: log.min_free"},
      {{"--config", kafka}, 78, kafka + ":2: forward"},
      {{"--data", Path("data").string(), "--listen-grpc", "0.0.0.0:0"},
       78,
       "--allow-insecure-listen"},
      {{"--help"}, 0, "--forward SPEC"},
  };
  for (const Case& wanted : cases) {
    std::vector<std::string> arguments = {"collect"};
    arguments.insert(arguments.end(), wanted.arguments.begin(), wanted.arguments.end());
    WeftProcess process(arguments);
    EXPECT_EQ(process.WaitForEnd(), wanted.status) << wanted.text << process.Errors();
    EXPECT_THAT(process.Errors(), HasSubstr(wanted.text));
  }
}

}  // namespace
}  // namespace weft::e2e
