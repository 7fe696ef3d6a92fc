// SPDX-License-Identifier: Apache-2.0
// Clients that mean harm or know no better: each gets its status, memory stays bounded, and others
// are served.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/collector/collector.h>

#include "http_server_fixture.h"
#include "langsmith/run_query.h"
#include "memory_support.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr std::size_t kMiB = 1 << 20;

std::string Deflated(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string WithValidRun(const std::string& hostile) {
  return R"({"post":[)" + std::string(kRun) + "," + hostile + "]}";
}

constexpr std::string_view kHostileId = "01a0b35e-7a0d-7000-8000-0000000000ff";

std::string RunWith(const std::string& inputs) {
  const std::string id(kHostileId);
  return R"({"id":")" + id + R"(","trace_id":")" + id +
         R"(","dotted_order":"20260910T002640013001Z)" + id + R"(","name":"hostile","inputs":)" +
         inputs + "}";
}

using CollectorClientTest = HttpServerFixture;

TEST_F(CollectorClientTest, BombsOfEveryCodingStayWithinTheLimitOfMemory) {
  constexpr std::size_t kLimit = 4 * kMiB;
  constexpr std::size_t kClients = 8;
  options_.max_decoded_bytes = kLimit;
  Start();
  std::vector<std::pair<std::string, std::string>> bombs;
  {
    const std::string zeros(128 * kMiB, '\0');
    bombs = {{"zstd", Zstd(zeros)}};
    const std::string_view fewer = std::string_view(zeros).substr(0, 64 * kMiB);
    bombs.emplace_back("gzip", Deflated(fewer, 31));
    bombs.emplace_back("deflate", Deflated(fewer, 15));
    // Members one after another are one body.
    bombs.emplace_back("gzip", Deflated(fewer, 31) + Deflated(fewer, 31));
  }
  for (const auto& [coding, bomb] : bombs) {
    ASSERT_LT(bomb.size(), kMiB) << coding;
    ForgetPeak();
    const std::size_t before = StatusBytes("VmRSS");
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (std::size_t i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<HttpClient>(address_));
      clients.back()->Send(RequestText("POST", "/runs/multipart", FormHeaders(coding), bomb));
    }
    for (auto& client : clients) EXPECT_EQ(client->Read().status, 413) << coding;
    EXPECT_LT(StatusBytes("VmHWM"), MemoryBound(before + kClients * (2 * kLimit + 2 * kMiB)))
        << coding;
  }
  ExpectStillServes();
}

TEST_F(CollectorClientTest, OneCodingIsTakenOffAndNoMore) {
  Start();
  const std::string twice = Deflated(Deflated(Form(), 31), 31);
  EXPECT_EQ(Post("/runs/multipart", FormHeaders("gzip, gzip"), twice).status, 415);
  EXPECT_EQ(Post("/runs/multipart", FormHeaders("gzip"), twice).status, 400);
  EXPECT_EQ(Post("/runs/multipart", FormHeaders("gzip"), Zstd(Form())).status, 400);
  ExpectStillServes();
}

// A valid run beside the hostile one is kept, whatever becomes of that.
TEST_F(CollectorClientTest, HostileJsonCostsOnlyItself) {
  Start();
  const std::string deep = std::string(10'000, '[') + "1" + std::string(10'000, ']');
  const std::string deep_objects = [] {
    std::string text;
    for (int i = 0; i < 10'000; ++i) text += R"({"a":)";
    return text + "1" + std::string(10'000, '}');
  }();
  for (const std::string& rejected : {deep, deep_objects}) {
    std::string form = Form();
    form.resize(form.rfind("--B--"));
    form += "--B\r\nContent-Disposition: form-data; name=\"post." + std::string(kHostileId) +
            "\"\r\nContent-Type: application/json\r\n\r\n" + RunWith(rejected) + "\r\n--B--\r\n";
    for (const bool as_form : {true, false}) {
      const HttpResponse answer = as_form
                                      ? Post("/runs/multipart", FormHeaders(), form)
                                      : Post("/runs/batch", kJson, WithValidRun(RunWith(rejected)));
      EXPECT_EQ(answer.status, 202) << answer.body;
      const auto batches = ingest_.TakeBatches();
      ASSERT_THAT(batches, SizeIs(1));
      EXPECT_THAT(batches[0].header.ops, SizeIs(1));
      ASSERT_THAT(batches[0].rejected, SizeIs(1));
      EXPECT_THAT(batches[0].rejected[0].reason, HasSubstr("deep"));
    }
    // Nothing else is there, or nothing ends.
    EXPECT_EQ(Post("/runs/batch", kJson, "{\"post\":[" + RunWith(rejected) + "]}").status, 400);
    EXPECT_EQ(Post("/runs/batch", kJson, "{\"post\":[" + RunWith(rejected)).status, 400);
    EXPECT_EQ(Post("/runs/batch", kJson, rejected).status, 400);
    ingest_.TakeBatches();
  }
  const std::string long_key = "{\"" + std::string(kMiB, 'k') + "\":1}";
  std::string many_keys = "{\"0\":0";
  for (int i = 1; i < 20'000; ++i) many_keys += ",\"" + std::to_string(i) + "\":0";
  for (const std::string& taken :
       {long_key, many_keys + "}", std::string("{\"a\":\"\xff\xc0\x80\"}"),
        std::string(R"({"a":"\ud800 \udc00"})"), std::string(R"({"a":NaN,"b":-Infinity})"),
        "{\"a\":" + std::string(5'000, '9') + "}", std::string(R"({"a":1e999999,"b":-0})"),
        std::string(R"({"a":1,"a":2,"__proto__":{},"":[]})")}) {
    const HttpResponse answer = Post("/runs/batch", kJson, WithValidRun(RunWith(taken)));
    EXPECT_EQ(answer.status, 202) << taken.substr(0, 60) << answer.body;
    const auto batches = ingest_.TakeBatches();
    ASSERT_THAT(batches, SizeIs(1)) << taken.substr(0, 60);
    EXPECT_THAT(batches[0].header.ops, SizeIs(2)) << taken.substr(0, 60);
  }
  ExpectStillServes();
}

TEST_F(CollectorClientTest, ManyHeadersEndAtTheLimitOfTheHeader) {
  Start();
  Headers some, many;
  for (int i = 0; i < 10'000; ++i) {
    auto& list = i < 500 ? some : many;
    list.emplace_back("X-" + std::to_string(i), "y");
  }
  EXPECT_EQ(Get("/live", some).status, 200);
  EXPECT_EQ(Get("/live", many).status, 431);
  ExpectStillServes();
}

TEST_F(CollectorClientTest, BodiesOfAnotherLengthThanSaidAreNotMistaken) {
  Start();
  // Shorter, and half closed: nothing is taken.
  HttpClient shorter(address_);
  std::string text = RequestText("POST", "/runs/multipart", FormHeaders(), Form());
  shorter.Send(text.substr(0, text.size() - 10));
  shorter.EndSending();
  EXPECT_TRUE(shorter.IsClosed());
  EXPECT_THAT(ingest_.TakeBatches(), SizeIs(0));
  // Longer: what is left over is no request.
  HttpClient longer(address_);
  longer.Send(text + "left over\r\n\r\n");
  EXPECT_EQ(longer.Read().status, 202);
  EXPECT_EQ(longer.Read().status, 400);
  EXPECT_TRUE(longer.IsClosed());
  EXPECT_THAT(ingest_.TakeBatches(), SizeIs(1));
  // Without the last boundary.
  const std::string body = Form();
  EXPECT_EQ(Post("/runs/multipart", FormHeaders(), body.substr(0, body.rfind("--B--"))).status,
            400);
  ExpectStillServes();
}

// One that asks and asks and never reads: its answers fill what the kernel holds for it, then it is
// not read from any more.
TEST_F(CollectorClientTest, AClientThatNeverReadsItsAnswersIsNotReadEither) {
  Start();
  HttpClient deaf(address_);
  deaf.DoNotWait();
  const std::string requests = [] {
    std::string text;
    for (int i = 0; i < 100; ++i) text += RequestText("GET", "/info", {});
    return text;
  }();
  ForgetPeak();
  const std::size_t before = StatusBytes("VmRSS");
  std::size_t sent = 0;
  // Full for good: nothing went through while others were served.
  for (int blocked = 0; blocked < 20 && sent < 512 * kMiB;) {
    const std::size_t now =
        deaf.SendSome(std::string_view(requests).substr(sent % requests.size()));
    sent += now;
    if (now == 0) {
      ++blocked;
      ExpectStillServes();
    }
  }
  EXPECT_LT(sent, 512 * kMiB);
  EXPECT_LT(StatusBytes("VmHWM"), MemoryBound(before + 16 * kMiB));
}

TEST_F(CollectorClientTest, WithoutDescriptorsOthersAreServedAgainOnceSomeAreFree) {
  Start();
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit before = limit;
  const int next = ::open("/dev/null", O_RDONLY);
  ::close(next);
  limit.rlim_cur = static_cast<rlim_t>(next) + 30;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  {
    std::vector<std::unique_ptr<HttpClient>> clients;
    for (int i = 0; i < 29; ++i) clients.push_back(std::make_unique<HttpClient>(address_));
  }
  ExpectStillServes();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

// The clients are in a process of their own: each side has a descriptor for a connection.
TEST_F(CollectorClientTest, TenThousandIdleConnectionsCostLittle) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t wanted = std::min<std::size_t>(10'000, limit.rlim_max - 500);
  options_.max_connections = wanted + 10;
  Start();
  ForgetPeak();
  const std::size_t before = StatusBytes("VmRSS");
  int connected[2], done[2];
  ASSERT_EQ(::pipe(connected), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(done[1]);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(address_.substr(address_.find(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (std::size_t i = 0; i < wanted; ++i) {
      const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) ::_exit(1);
    }
    char c = 0;
    if (::write(connected[1], &c, 1) != 1) ::_exit(1);
    ::_exit(::read(done[0], &c, 1) == 0 ? 0 : 2);  // until the parent is done
  }
  ::close(done[0]);
  ::close(connected[1]);
  char c = 1;
  EXPECT_EQ(::read(connected[0], &c, 1), 1);
  ::close(connected[0]);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (server_->stats().connections < wanted && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_GE(server_->stats().connections, wanted);
  ExpectStillServes();
  const std::size_t each = (StatusBytes("VmRSS") - before) / wanted;
  RecordProperty("bytes_a_connection", static_cast<int>(each));
  EXPECT_LT(each, MemoryBound(12'000));
  ::close(done[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// --- The whole collector: what SDKs and clocks do to runs ---------------------------------------

class CollectorRunsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.data = directory_.path() / "data";
    config_.listen_grpc = config_.listen_http = config_.listen_otlp_http = "127.0.0.1:0";
    config_.min_free = 0;
    Start();
  }

  void Start() {
    collector_.reset();
    auto collector = Collector::Start(config_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
  }

  // received = logged + refused + parked, at the end of each test.
  void TearDown() override {
    EXPECT_EQ(Sum("weft_received_runs_total"), Sum("weft_logged_runs_total") +
                                                   Sum("weft_refused_runs_total") +
                                                   Sum("weft_parked_runs_total"));
  }

  // Of all samples of a metric.
  double Sum(const std::string& metric) const {
    double sum = 0;
    std::istringstream lines(collector_->Metrics());
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(metric + "{")) sum += std::stod(line.substr(line.rfind(' ')));
    }
    return sum;
  }

  std::string http() const { return collector_->addresses().http; }

  static std::string Head(RunId id, RunId trace, const std::string& order) {
    return R"({"id":")" + id.ToString() + R"(","trace_id":")" + trace.ToString() +
           R"(","dotted_order":")" + order + "\"";
  }
  static std::string DayFromNow(int days) {
    const auto now = std::chrono::system_clock::now() + std::chrono::hours(24 * days);
    return TimeText(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count()));
  }
  static std::string Order(RunId id) { return "20261121T130000000000Z" + id.ToString(); }

  int Send(const std::string& kind, const std::string& run) {
    return Fetch(http(), "POST", "/runs/batch", kJson, "{\"" + kind + "\":[" + run + "]}").status;
  }

  // What /runs/{id} gives once `wanted` is in it.
  std::string Read(RunId id, const std::string& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::string body;
    while (std::chrono::steady_clock::now() < deadline) {
      const HttpResponse response = Fetch(http(), "GET", "/runs/" + id.ToString());
      body = response.body;
      if (response.status == 200 && body.find(wanted) != std::string::npos) break;
    }
    return body;
  }

  TemporaryDirectory directory_;
  CollectorConfig config_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(CollectorRunsTest, TricksInPathsFindNothing) {
  for (const std::string target :
       {"/../../etc/passwd", "/runs/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/../../etc/passwd", "/runs/%00", "/runs/..%2f..%2fkeys", "//etc/passwd",
        "/runs/batch/%2e%2e/..", "/\\..\\keys", "http://169.254.169.254/latest/meta-data", "*",
        "/%", "/%zz", "/runs?id=../secret", "/api/v1/api/v1/api/v1/live/../../secret"}) {
    const int status = Fetch(http(), "GET", target).status;
    EXPECT_TRUE(status >= 400 && status < 500) << target << ": " << status;
  }
  EXPECT_THAT(Fetch(http(), "GET", "/" + std::string(40'000, 'a')).status, AnyOf(404, 414, 431));
  const RunId id = IdOf(1);
  EXPECT_EQ(Send("post", Head(id, id, Order(id)) + "}"), 202);
}

TEST_F(CollectorRunsTest, PostsAndPatchesMeetInAnyOrderAndAnyNumber) {
  const std::vector<std::pair<std::string, std::string>> operations = {
      {"post", R"(,"name":"first","inputs":{"q":1},"extra":{"metadata":{"a":1}}})"},
      {"post", R"(,"name":"first","inputs":{"q":1},"extra":{"metadata":{"a":1}}})"},
      {"patch",
       R"(,"outputs":{"r":2},"end_time":"2026-11-21T13:00:01Z","extra":{"metadata":{"b":2}}})"},
      {"patch", R"(,"outputs":{"r":2},"extra":{}})"}};
  std::vector<std::size_t> order = {0, 1, 2, 3};
  std::uint64_t number = 100;
  do {
    const RunId id = IdOf(++number);
    for (const std::size_t at : order) {
      const auto& [kind, rest] = operations[at];
      ASSERT_EQ(Send(kind, Head(id, id, Order(id)) + rest), 202);
    }
    const std::string run = Read(id, R"("r":2)");
    for (const char* part :
         {R"("q":1)", R"("r":2)", R"("a":1)", R"("b":2)", R"("first")", R"("status":"success")"}) {
      EXPECT_THAT(run, HasSubstr(part));
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_F(CollectorRunsTest, APatchAloneIsARun) {
  const RunId id = IdOf(1);
  ASSERT_EQ(Send("patch", Head(id, id, Order(id)) + R"(,"outputs":{"r":2}})"), 202);
  EXPECT_THAT(Read(id, R"("r":2)"), HasSubstr(R"("pending")"));
}

TEST_F(CollectorRunsTest, KeepsRunsOfClocksThatAreWrong) {
  const std::vector<std::pair<std::string, std::string>> times = {
      {"2026-11-20T13:00:00Z", "2026-11-20T12:00:00Z"},  // the end before the start
      {DayFromNow(-1), DayFromNow(-1)},
      {DayFromNow(1), DayFromNow(1)},
      {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
      {"2099-01-01T00:00:00.999999Z", "2099-01-02T00:00:00Z"}};
  std::uint64_t number = 200;
  for (const auto& [start, end] : times) {
    const RunId id = IdOf(++number);
    ASSERT_EQ(Send("post", Head(id, id, Order(id)) + R"(,"name":"n","start_time":")" + start +
                               R"(","end_time":")" + end + "\"}"),
              202);
    const std::string run = Read(id, "start_time");
    EXPECT_THAT(run, HasSubstr(start.substr(0, 19)));
    EXPECT_THAT(run, HasSubstr(end.substr(0, 19)));
  }
}

// One more than LangSmith itself takes, and than the collector does unless it is told to.
TEST_F(CollectorRunsTest, KeepsATraceOfMoreRunsThanLangSmithTakes) {
  constexpr std::uint64_t kRuns = 25'001;
  config_.max_trace_runs = 30'000;
  Start();
  const RunId root = IdOf(1);
  std::string batch = Head(root, root, Order(root)) + "}";
  for (std::uint64_t number = 2; number <= kRuns; ++number) {
    const RunId id = IdOf(number);
    batch += (batch.empty() ? "" : ",") + Head(id, root, Order(root) + "." + Order(id)) +
             R"(,"name":"n)" + std::to_string(number) + R"(","parent_run_id":")" + root.ToString() +
             "\"}";
    if (number % 5'000 != 0 && number != kRuns) continue;
    ASSERT_EQ(Send("post", std::exchange(batch, {})), 202);
  }
  EXPECT_EQ(Sum("weft_logged_runs_total"), kRuns);
  EXPECT_THAT(Read(IdOf(kRuns), "n25001"), HasSubstr("\"n25001\""));
  const HttpResponse page =
      Fetch(http(), "POST", "/runs/query", kJson, "{\"trace\":\"" + root.ToString() + "\"}");
  EXPECT_THAT(page.body, HasSubstr("\"next\":\"100:"));
}

// A soak in small: what one request leaves behind shows after many.
TEST_F(CollectorRunsTest, RequestsLeaveNoDescriptorsAndNoMemoryBehind) {
  const auto descriptors = [] {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return std::distance(begin(all), end(all));
  };
  std::uint64_t number = 0;
  const auto send = [&](int requests) {
    for (int i = 0; i < requests; ++i) {
      const RunId id = IdOf(++number);
      ASSERT_EQ(
          Send("post", Head(id, id, Order(id)) + R"(,"inputs":")" + std::string(2000, 'x') + "\"}"),
          202);
      if (i % 10 == 0) Read(id, "inputs");
      if (i % 10 == 1) {
        ASSERT_EQ(Send("post", "{}"), 202);
      }
    }
  };
  send(300);
  const auto open = descriptors();
  const std::size_t before = StatusBytes("VmRSS");
  send(1500);
  // The last connection may be closed a moment later.
  EXPECT_LE(descriptors(), open + 3);
  EXPECT_LT(StatusBytes("VmRSS"), MemoryBound(before + 6 * kMiB));
}

TEST_F(CollectorRunsTest, ReadsATraceOfAThousandGenerations) {
  const RunId root = IdOf(1);
  std::string runs;
  std::string order = Order(root);
  runs = Head(root, root, order) + R"(,"name":"n"})";
  RunId parent = root;
  for (std::uint64_t depth = 2; depth <= 1000; ++depth) {
    const RunId id = IdOf(depth);
    order += "." + Order(id);
    runs += "," + Head(id, root, order) + R"(,"name":"n","parent_run_id":")" + parent.ToString() +
            "\"}";
    parent = id;
  }
  ASSERT_EQ(Send("post", runs), 202);
  EXPECT_THAT(Read(parent, "dotted_order"), HasSubstr(order));
}

}  // namespace
}  // namespace weft::collector
