// SPDX-License-Identifier: Apache-2.0
// Targets that fail in every way they have, and what must hold afterwards: nothing is lost, nothing
// is altered, and the counts add up.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/internal/form_data.h>

#include "destination_support.h"
#include "destinations/drain_limit.h"
#include "destinations/retry_gate.h"
#include "parked_file.h"

namespace weft::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using Reply = FakeLangSmith::Reply;
using Request = FakeLangSmith::Request;

Reply Status(int status) {
  Reply reply;
  reply.status = status;
  return reply;
}

/// A target that answers each connection with the same bytes, one at a time.
class RawTarget {
 public:
  /// `hangs`: keeps the connection open after its answer, until the end of the test.
  RawTarget(std::string answer, bool hangs) : answer_(std::move(answer)), hangs_(hangs) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 16);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~RawTarget() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
    for (const int held : held_) ::close(held);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int requests() const { return requests_; }

 private:
  void Serve() {
    for (int peer; (peer = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      char bytes[4096];
      if (::recv(peer, bytes, sizeof bytes, 0) > 0) {
        ++requests_;
        for (const char c : answer_) {
          if (::send(peer, &c, 1, MSG_NOSIGNAL) != 1) break;
        }
      }
      hangs_ ? held_.push_back(peer) : void(::close(peer));
    }
  }

  const std::string answer_;
  const bool hangs_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> requests_{0};
  std::vector<int> held_;
  std::thread thread_;
};

class DestFailuresTest : public DestinationTest {
 protected:
  void StartTo(const std::string& url, DestinationOptions options, const std::string& key = "") {
    StartDestination({DestinationConfig::Kind::kLangSmith, url, key}, std::move(options));
  }
  void Start() { StartTo(langsmith_->url(), Options()); }

  static std::string Id(std::uint64_t number) { return IdOf(number).ToString(); }

  /// A record as a LangSmith SDK's request becomes one: a whole form, compressed. Returns the form.
  std::string AppendForm(std::uint64_t first, std::size_t count, const std::string& key = "") {
    internal::FormData form;
    std::vector<RunOp> ops;
    for (std::size_t i = 0; i < count; ++i) {
      RunOp& op = ops.emplace_back();
      op.run_id = op.trace_id = IdOf(first + i);
      const std::string name = "post." + op.run_id.ToString();
      const std::pair<PartField, std::string> parts[] = {
          {PartField::kRun, RunText(op.run_id, op.trace_id)},
          {PartField::kInputs, "{\"n\" :  1.0e0}"}};
      for (const auto& [field, text] : parts) {
        form.Append(field == PartField::kRun ? name : name + ".inputs", "application/json", text);
        Part part;
        part.field = field;
        part.offset = form.size() - text.size() - 2;
        part.length = text.size();
        op.parts.push_back(part);
      }
    }
    const std::string type = form.content_type();
    const std::string body = std::move(form).Finish();
    RecordHeader header = HeaderFor(body);
    header.coding = PayloadCoding::kZstd;
    header.form_boundary = type.substr(type.find('=') + 1);
    header.key_id = keys_->Remember(key).value();
    header.ops = std::move(ops);
    EXPECT_TRUE(AppendNow(*log_, std::move(header), internal::CompressZstd(body)).ok());
    logged_ += count;
    return body;
  }

  /// What must hold at the end of each test.
  void ExpectConserved(std::uint64_t sent, std::uint64_t parked = 0) {
    const DestinationStats stats = destination_->Stats();
    EXPECT_EQ(stats.available, stats.sent + stats.parked + stats.discarded + stats.filtered +
                                   stats.expired + stats.lag);
    EXPECT_EQ(stats.sent, sent);
    EXPECT_EQ(stats.parked, parked);
    EXPECT_EQ(stats.lag, 0u);
  }

  std::unique_ptr<FakeLangSmith> langsmith_ = FakeLangSmith::Start();
};

// --- What arrives is what came ------------------------------------------------------------------

TEST_F(DestFailuresTest, AWholeFormGoesOutAsItCame) {
  AppendForm(1000, 1);  // Its answer tells what the target takes.
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  const std::string form = AppendForm(0, 80);
  ASSERT_TRUE(WaitForDelivered(81));
  const std::vector<Request> requests = langsmith_->Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].body, form);
  EXPECT_EQ(requests[1].parts.size(), 160u);
  ExpectConserved(81);
}

TEST_F(DestFailuresTest, SmallRequestsAreFilledUp) {
  for (std::uint64_t i = 0; i < 30; ++i) AppendForm(i * 10, 10);
  Start();
  ASSERT_TRUE(WaitForDelivered(300));
  EXPECT_LT(langsmith_->Requests().size(), 20u);
  EXPECT_EQ(langsmith_->RunIds().size(), 300u);
  ExpectConserved(300);
}

TEST_F(DestFailuresTest, AWholeFormOverTheTargetsLimitIsCutAtRuns) {
  langsmith_->SetInfo(
      "{\"batch_ingest_config\":{\"size_limit\":40},"
      "\"instance_flags\":{\"zstd_compression_enabled\":true}}");
  AppendForm(1000, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  AppendForm(0, 100);
  ASSERT_TRUE(WaitForDelivered(101));
  for (const Request& request : langsmith_->Requests()) EXPECT_LE(request.parts.size(), 80u);
  ExpectConserved(101);
}

// --- Outages ------------------------------------------------------------------------------------

TEST_F(DestFailuresTest, APatchAfterItsRunWentOutFollowsIt) {
  AppendRuns(1, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  RunOp op;
  op.kind = OpKind::kPatch;
  op.run_id = op.trace_id = IdOf(1);
  std::string payload;
  AddPart(op, payload, PartField::kRun, RunText(op.run_id, op.trace_id));
  AddPart(op, payload, PartField::kOutputs, "{\"answer\": 42}");
  AppendRecord({op}, payload);
  ASSERT_TRUE(WaitForDelivered(2));
  const auto requests = langsmith_->Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_TRUE(requests[0].Find("post." + Id(1)));
  EXPECT_EQ(requests[1].Find("patch." + Id(1) + ".outputs"), "{\"answer\": 42}");
  ExpectConserved(2);
}

TEST_F(DestFailuresTest, AnOutageLosesNothingAndEndsWithinItsProbe) {
  const int port = langsmith_->port();
  const std::string url = langsmith_->url();
  langsmith_.reset();
  DestinationOptions options = Options();
  options.drain_floor = 1e6;
  StartTo(url, std::move(options));
  for (std::uint64_t i = 0; i < 20; ++i) AppendForm(i * 100, 100);
  ASSERT_TRUE(
      WaitFor([](const DestinationStats& stats) { return stats.circuit != Circuit::kClosed; }));
  EXPECT_EQ(destination_->Stats().lag, 2000u);
  langsmith_ = FakeLangSmith::Start(port);
  ASSERT_NE(langsmith_, nullptr);
  ASSERT_TRUE(WaitForDelivered(2000));
  EXPECT_EQ(langsmith_->RunIds().size(), 2000u);
  EXPECT_EQ(destination_->Stats().circuit, Circuit::kClosed);
  ExpectConserved(2000);
}

TEST_F(DestFailuresTest, AFlappingTargetGetsEverything) {
  const int port = langsmith_->port();
  Start();
  std::set<std::string> arrived;
  for (std::uint64_t round = 0; round < 6; ++round) {
    AppendRuns(round * 50, 50);
    if (langsmith_) {
      for (const std::string& id : langsmith_->RunIds()) arrived.insert(id);
      langsmith_.reset();
    } else {
      langsmith_ = FakeLangSmith::Start(port);
      ASSERT_NE(langsmith_, nullptr);
    }
    log_->WaitForRecord(log_->DurableEnd(), milliseconds(15));
  }
  if (!langsmith_) langsmith_ = FakeLangSmith::Start(port);
  ASSERT_TRUE(WaitForDelivered(300));
  // What arrived in the last moment of a target that went is known to nobody: it comes again.
  for (const std::string& id : langsmith_->RunIds()) arrived.insert(id);
  EXPECT_GE(arrived.size(), 250u);
  ExpectConserved(300);
}

TEST_F(DestFailuresTest, OneRequestAtATimeWhileTheCircuitIsOpen) {
  std::atomic<int> under_way{0}, most{0}, failures{0};
  langsmith_->SetHandler([&](const Request&) -> std::optional<Reply> {
    if (failures++ >= 25) return std::nullopt;
    most = std::max(most.load(), ++under_way);
    --under_way;
    Reply reset;
    reset.reset = true;
    return reset;
  });
  for (std::uint64_t i = 0; i < 8; ++i) AppendRuns(i * 100, 100);
  Start();
  ASSERT_TRUE(WaitForDelivered(800));
  EXPECT_GE(destination_->Stats().errors["connection"], 1u);
  EXPECT_EQ(langsmith_->RunIds().size(), 800u);
  ExpectConserved(800);
}

TEST(RetryGateTest, OpensAfterTenInARowAndLetsOneTry) {
  RetryGateOptions options;
  options.first_backoff = options.max_backoff = milliseconds(1);
  RetryGate gate(options);
  const SendResult failure{Verdict::kRetry, "503", "", std::nullopt, false};
  RetryGate::Attempt attempt;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(gate.circuit(), Circuit::kClosed) << i;
    ASSERT_TRUE(gate.Enter(attempt));
    gate.Failed(failure, &attempt);
  }
  EXPECT_EQ(gate.circuit(), Circuit::kOpen);
  ASSERT_TRUE(gate.Enter(attempt));
  EXPECT_EQ(gate.circuit(), Circuit::kProbing);
  EXPECT_TRUE(gate.Succeeded());
  EXPECT_EQ(gate.circuit(), Circuit::kClosed);
}

TEST(RetryGateTest, ManyCollectorsDoNotComeBackTogether) {
  std::set<std::int64_t> pauses;
  const SendResult failure{Verdict::kRetry, "503", "", std::nullopt, false};
  for (int i = 0; i < 1000; ++i) {
    pauses.insert(RetryGate(RetryGateOptions{}).Pause(failure, 8).count());
  }
  EXPECT_GT(pauses.size(), 500u);
}

TEST(DrainLimitTest, AllowsAMultipleOfWhatComesIn) {
  using Clock = DrainLimit::Clock;
  DrainLimit limit({.factor = 2, .floor = 10});
  Clock::time_point now{seconds(1000)};
  for (std::uint64_t second = 0; second <= 100; ++second) {
    limit.Observe(second * 500, now + seconds(second));
  }
  now += seconds(100);
  EXPECT_EQ(limit.Take(1'000'000, now).count(), 0) << "nothing is being drained";
  limit.Begin(now);
  Clock::duration wait{};
  for (int batch = 0; batch < 100; ++batch) wait = limit.Take(100, now);
  // 10,000 operations at 2 x 500 a second.
  EXPECT_NEAR(std::chrono::duration<double>(wait).count(), 10, 0.3);
  limit.End();
  EXPECT_EQ(limit.Take(100, now).count(), 0);
}

TEST(DrainLimitTest, NothingComingInStillDrains) {
  DrainLimit limit({.factor = 2, .floor = 100});
  const DrainLimit::Clock::time_point now{seconds(1000)};
  limit.Begin(now);
  EXPECT_LE(limit.Take(100, now), seconds(1));
  EXPECT_GT(limit.Take(100, now), seconds(0));
}

// --- Answers ------------------------------------------------------------------------------------

TEST_F(DestFailuresTest, AConnectionThatIsGoneWhenItIsWantedAgainCostsNothing) {
  RawTarget target("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}", false);
  StartTo(target.url(), Options());
  for (std::uint64_t round = 0; round < 5; ++round) {
    AppendRuns(round * 10, 10);
    ASSERT_TRUE(WaitForDelivered((round + 1) * 10));
  }
  ExpectConserved(50);
}

TEST_F(DestFailuresTest, AnAnswerThatComesByteByByteCounts) {
  RawTarget target("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
                   false);
  AppendRuns(0, 10);
  StartTo(target.url(), Options());
  ASSERT_TRUE(WaitForDelivered(10));
  ExpectConserved(10);
}

TEST_F(DestFailuresTest, ATargetThatHangsAfterItsHeadersHoldsUpNoStop) {
  {
    RawTarget target("HTTP/1.1 202 Accepted\r\nContent-Length: 200\r\n\r\n", true);
    AppendRuns(0, 10);
    StartTo(target.url(), Options());
    ASSERT_TRUE(WaitFor([&](const DestinationStats&) { return target.requests() >= 1; }));
    destination_->Stop(milliseconds(10));
    EXPECT_EQ(destination_->Stats().sent, 0u);
    EXPECT_EQ(destination_->Stats().lag, 10u);
    destination_.reset();
  }
  OpenLog();
  Start();
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(langsmith_->RunIds().size(), 10u);
  ExpectConserved(10);
}

TEST_F(DestFailuresTest, AWebPageIsNoReceipt) {
  Reply page = Status(200);
  page.content_type = "text/html; charset=utf-8";
  page.body = "<html>log in first</html>";
  langsmith_->Script({page, page, page});
  AppendRuns(0, 10);
  Start();
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(langsmith_->Requests().size(), 4u);
  EXPECT_EQ(destination_->Stats().errors["200"], 3u);
  ExpectConserved(10);
}

TEST_F(DestFailuresTest, OneBadRunOfAWholeFormIsParkedAlone) {
  AppendForm(1000, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.body.find(Id(42)) == std::string::npos) return std::nullopt;
    Reply reply = Status(400);
    reply.body = "{\"detail\":\"bad run\"}";
    return reply;
  });
  AppendForm(0, 100);
  ASSERT_TRUE(WaitForDelivered(101));
  EXPECT_EQ(langsmith_->RunIds().size(), 100u);
  const boost::json::value parked = boost::json::parse(Parked().at(0));
  EXPECT_EQ(parked.at("run_id"), Id(42).c_str());
  EXPECT_THAT(std::string(parked.at("reason").as_string()), HasSubstr("bad run"));
  EXPECT_EQ(destination_->Stats().parked_by_code["400"], 1u);
  ExpectConserved(100, 1);
}

TEST_F(DestFailuresTest, AWholeFormThatIsTooLargeIsSplit) {
  AppendForm(1000, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.parts.size() > 30) return Status(413);
    return std::nullopt;
  });
  AppendForm(0, 100);
  ASSERT_TRUE(WaitForDelivered(101));
  EXPECT_EQ(langsmith_->RunIds().size(), 101u);
  ExpectConserved(101);
}

TEST_F(DestFailuresTest, ATargetWithoutMultipartGetsTheRunsOfAWholeForm) {
  AppendForm(1000, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.target == "/runs/multipart") return Status(404);
    return std::nullopt;
  });
  AppendForm(0, 100);
  ASSERT_TRUE(WaitForDelivered(101));
  EXPECT_EQ(langsmith_->Requests().back().target, "/runs/batch");
  EXPECT_EQ(langsmith_->RunIds().size(), 101u);
  ExpectConserved(101);
}

TEST_F(DestFailuresTest, RetryAfterInEitherFormIsHonouredUpToTheCap) {
  Reply in_an_hour = Status(503);
  in_an_hour.retry_after = seconds(3600);
  Reply at_a_date = Status(503);
  const std::time_t later = std::time(nullptr) + 3600;
  char date[64];
  std::tm utc{};
  ::gmtime_r(&later, &utc);
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  at_a_date.retry_after_date = date;
  langsmith_->Script({in_an_hour, at_a_date});
  AppendRuns(0, 10);
  DestinationOptions options = Options();
  options.max_retry_after = milliseconds(300);
  // Without the header the pause would be at most this.
  options.first_backoff = options.max_backoff = milliseconds(1);
  const auto started = std::chrono::steady_clock::now();
  StartTo(langsmith_->url(), std::move(options));
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_GE(std::chrono::steady_clock::now() - started, milliseconds(600));
  ExpectConserved(10);
}

TEST_F(DestFailuresTest, AThrottledKeyWaitsAndOthersGoOn) {
  std::atomic<bool> throttle{true};
  langsmith_->SetHandler([&](const Request& request) -> std::optional<Reply> {
    if (!throttle || request.Header("x-api-key") != "lsv2_busy") return std::nullopt;
    return Status(429);
  });
  for (std::uint64_t i = 0; i < 10; ++i) AppendRuns(i * 10, 10, "lsv2_busy");
  AppendRuns(1000, 10, "lsv2_calm");
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) {
    return stats.sent == 10 && stats.throttled_keys == 1 && stats.held_keys == 0;
  }));
  AppendRuns(2000, 10, "lsv2_calm");
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 20; }));
  EXPECT_EQ(destination_->Stats().lag, 100u);
  EXPECT_EQ(destination_->Stats().circuit, Circuit::kClosed);
  throttle = false;
  ASSERT_TRUE(WaitForDelivered(120));
  EXPECT_EQ(langsmith_->RunIds().size(), 120u);
  ExpectConserved(120);
}

TEST_F(DestFailuresTest, ATargetThatTakesLittleAtATimeGetsEverythingOnce) {
  std::atomic<int> taken{0};
  langsmith_->SetHandler([&](const Request& request) -> std::optional<Reply> {
    if (request.method == "GET") return std::nullopt;
    return ++taken % 3 == 0 ? std::optional<Reply>(Status(429)) : std::nullopt;
  });
  for (std::uint64_t i = 0; i < 20; ++i) AppendRuns(i * 100, 100, "lsv2_limited");
  Start();
  ASSERT_TRUE(WaitForDelivered(2000))
      << destination_->Stats().sent << " sent, " << taken << " requests";
  EXPECT_EQ(langsmith_->RunIds().size(), 2000u);
  ExpectConserved(2000);
}

TEST_F(DestFailuresTest, ARefusedKeyKeepsItsRunsUntilItIsReplaced) {
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.Header("x-api-key") != "lsv2_new") return Status(401);
    return std::nullopt;
  });
  AppendForm(0, 100);
  DestinationOptions options = Options();
  options.held_interval = std::chrono::hours(1);
  StartTo(langsmith_->url(), std::move(options), "lsv2_old");
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.held_keys == 1; }));
  EXPECT_EQ(destination_->Stats().lag, 100u);
  const auto commit = destination_->PrepareReload(
      {DestinationConfig::Kind::kLangSmith, langsmith_->url(), "lsv2_new"});
  ASSERT_TRUE(commit.ok());
  (*commit)();
  ASSERT_TRUE(WaitForDelivered(100));
  ExpectConserved(100);
}

// --- Parked operations --------------------------------------------------------------------------

class RedriveTest : public DestFailuresTest {
 protected:
  void ParkSome() {
    langsmith_->SetHandler([this](const Request& request) -> std::optional<Reply> {
      for (const std::uint64_t bad : {3, 5, 7}) {
        if (refuse_ && request.body.find(Id(bad)) != std::string::npos) return Status(422);
      }
      return std::nullopt;
    });
    AppendRuns(0, 10, "lsv2_caller");
    Start();
    ASSERT_TRUE(WaitForDelivered(10));
    ExpectConserved(7, 3);
  }

  void RedriveAll() {
    ASSERT_TRUE(destination_->parked().SetRedrive(destination_->parked().Ids(), true).ok());
    destination_->RedriveParked();
  }

  std::atomic<bool> refuse_{true};
};

TEST_F(RedriveTest, SendsWhatWasParkedWithItsKeyAndItsParts) {
  ParkSome();
  refuse_ = false;
  RedriveAll();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.parked == 0; }));
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(langsmith_->RunIds().size(), 10u);
  const Request last = langsmith_->Requests().back();
  EXPECT_EQ(last.Header("x-api-key"), "lsv2_caller");
  EXPECT_EQ(last.Find("post." + Id(5) + ".inputs"), "{\"n\": 5}");
  ExpectConserved(10);
}

TEST_F(RedriveTest, WhatIsRefusedAgainStaysParked) {
  ParkSome();
  const std::size_t before = langsmith_->Requests().size();
  RedriveAll();
  ASSERT_TRUE(WaitFor([&](const DestinationStats&) {
    return langsmith_->Requests().size() > before && destination_->parked().ToRedrive(10).empty();
  }));
  ExpectConserved(7, 3);
}

TEST_F(RedriveTest, GoesOnAfterARestartInTheMiddle) {
  ParkSome();
  refuse_ = false;
  const int port = langsmith_->port();
  langsmith_.reset();
  RedriveAll();
  ASSERT_TRUE(
      WaitFor([](const DestinationStats& stats) { return stats.errors.contains("connection"); }));
  destination_->Stop(milliseconds(0));
  destination_.reset();
  OpenLog();
  langsmith_ = FakeLangSmith::Start(port);
  ASSERT_NE(langsmith_, nullptr);
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 3; }));
  EXPECT_EQ(langsmith_->RunIds().size(), 3u);
  ExpectConserved(3);
  EXPECT_TRUE(Parked().empty());
}

TEST_F(RedriveTest, ADeletedOperationIsCountedAsSuch) {
  ParkSome();
  const std::vector<std::uint64_t> ids = destination_->parked().Ids();
  EXPECT_EQ(destination_->parked().Discard({ids[0]}).value(), 1u);
  EXPECT_EQ(destination_->Stats().discarded, 1u);
  ExpectConserved(7, 2);
}

TEST_F(RedriveTest, WhatIsSentAgainAfterACrashIsNotParkedTwice) {
  ParkSome();
  destination_.reset();
  std::filesystem::remove_all(directory_.path() / "cursors");
  OpenLog();
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 7; }));
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.lag == 0; }));
  EXPECT_EQ(Parked().size(), 3u);
  ExpectConserved(7, 3);
}

TEST(ParkedFileTest, MarksOutliveTheProcessAndLinesDoNotComeBack) {
  TemporaryDirectory directory;
  const std::filesystem::path path = directory.path() / "parked" / "some.jsonl";
  {
    auto file = ParkedFile::Open(path, 1 << 20).value();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(file->Park({{{"n", i}}}).ok());
    const std::vector<std::uint64_t> ids = file->Ids();
    ASSERT_EQ(ids.size(), 5u);
    EXPECT_EQ(file->Discard({ids[1], 12345}).value(), 1u);
    EXPECT_EQ(file->SetRedrive({ids[3]}, true).value(), 1u);
    EXPECT_THAT(file->Read(ids[4]).value(), HasSubstr("\"n\":4"));
    EXPECT_FALSE(file->Read(ids[1]).ok());
  }
  auto file = ParkedFile::Open(path, 1 << 20).value();
  EXPECT_EQ(file->operations(), 4u);
  EXPECT_EQ(file->operations_from_before(), 4u);
  ASSERT_EQ(file->ToRedrive(10).size(), 1u);
  EXPECT_THAT(file->Read(file->ToRedrive(10)[0].id).value(), HasSubstr("\"n\":3"));
}

TEST(ParkedFileTest, AFullFileTakesMoreOnceLinesAreGone) {
  TemporaryDirectory directory;
  auto file = ParkedFile::Open(directory.path() / "some.jsonl", 200).value();
  const JsonObject entry{{"text", std::string(60, 'x')}};
  EXPECT_EQ(file->Park({entry}).value(), 0u);
  EXPECT_EQ(file->Park({entry, entry}).value(), 1u) << "has no room";
  ASSERT_TRUE(file->Discard({file->Ids()[0]}).ok());
  EXPECT_EQ(file->Park({entry}).value(), 0u);
  EXPECT_EQ(file->operations(), 2u);
}

}  // namespace
}  // namespace weft::collector
