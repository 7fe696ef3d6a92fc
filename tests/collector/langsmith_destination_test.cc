// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>

#include "destination_support.h"

namespace weft::collector {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::Not;
using Reply = FakeLangSmith::Reply;
using Request = FakeLangSmith::Request;

Reply Status(int status) {
  Reply reply;
  reply.status = status;
  return reply;
}

class LangSmithDestinationTest : public DestinationTest {
 protected:
  void Start(const std::string& key = "") { Start(key, Options()); }
  void Start(const std::string& key, DestinationOptions options) {
    StartDestination({DestinationConfig::Kind::kLangSmith, langsmith_->url(), key},
                     std::move(options));
  }

  static std::string Id(std::uint64_t number) { return IdOf(number).ToString(); }

  std::map<std::string, std::uint64_t> Errors() { return destination_->Stats().errors; }

  // A reply for every request that holds the run.
  void AnswerRunWith(std::uint64_t number, int status, const std::string& body = "{}") {
    langsmith_->SetHandler([=](const Request& request) -> std::optional<Reply> {
      if (request.body.find(Id(number)) == std::string::npos) return std::nullopt;
      Reply reply = Status(status);
      reply.body = body;
      return reply;
    });
  }

  std::unique_ptr<FakeLangSmith> langsmith_ = FakeLangSmith::Start();
};

TEST_F(LangSmithDestinationTest, SendsPartsAsTheyArrived) {
  RunOp op;
  std::string payload;
  op.run_id = op.trace_id = IdOf(1);
  const std::string run = RunText(op.run_id, op.trace_id);
  AddPart(op, payload, PartField::kRun, run);
  AddPart(op, payload, PartField::kInputs, "{\"x\" : 1.00000000000000000001 }");
  AddPart(op, payload, PartField::kError, "\"bo\\u00f6m\"");
  AddPart(op, payload, PartField::kAttachment, std::string("\0\r\n--", 5), "im\"age", "image/png");
  RunOp patch = op;
  patch.kind = OpKind::kPatch;
  patch.parts.resize(1);
  RunOp feedback;
  feedback.kind = OpKind::kFeedback;
  feedback.run_id = IdOf(1);
  AddPart(feedback, payload, PartField::kFeedback, "{\"id\":\"" + Id(9) + "\",\"score\":1}");
  AppendRecord({op, patch, feedback}, payload, "lsv2_caller");
  Start();
  ASSERT_TRUE(WaitForDelivered(3));
  const auto requests = langsmith_->Requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].target, "/runs/multipart");
  EXPECT_EQ(requests[0].Header("x-api-key"), "lsv2_caller");
  EXPECT_EQ(requests[0].Header("content-encoding"), "zstd");
  EXPECT_THAT(requests[0].Header("user-agent"), HasSubstr("weft/"));
  const std::string post = "post." + Id(1);
  EXPECT_EQ(requests[0].Find(post), run);
  EXPECT_EQ(requests[0].Find(post + ".inputs"), "{\"x\" : 1.00000000000000000001 }");
  EXPECT_EQ(requests[0].Find(post + ".error"), "\"bo\\u00f6m\"");
  EXPECT_EQ(requests[0].Find("attachment." + Id(1) + ".im%22age"), std::string("\0\r\n--", 5));
  EXPECT_EQ(requests[0].Find("patch." + Id(1)), run);
  EXPECT_EQ(requests[0].Find("feedback." + Id(9)), "{\"id\":\"" + Id(9) + "\",\"score\":1}");
}

TEST_F(LangSmithDestinationTest, SendsPlainWhereTheTargetTakesNoZstd) {
  langsmith_->SetInfo("{\"version\":\"1\"}");
  AppendRuns(0, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_EQ(langsmith_->Requests().at(0).Header("content-encoding"), "");
}

TEST_F(LangSmithDestinationTest, BatchesHoldAtMostWhatTheTargetTakes) {
  langsmith_->SetInfo("{\"batch_ingest_config\":{\"size_limit\":7}}");
  // The first request teaches the limit.
  AppendRuns(1000, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  AppendRuns(0, 50);
  ASSERT_TRUE(WaitForDelivered(51));
  for (const Request& request : langsmith_->Requests()) EXPECT_LE(request.parts.size(), 14u);
  EXPECT_EQ(langsmith_->RunIds().size(), 51u);
}

// What was sent must not count against what is being put together.
TEST_F(LangSmithDestinationTest, BatchesStayAsLargeHoweverMuchWentOutBefore) {
  constexpr std::size_t kRecords = 60, kRuns = 100;
  for (std::size_t record = 0; record < kRecords; ++record) {
    std::vector<RunOp> ops;
    std::string payload;
    for (std::size_t i = 0; i < kRuns; ++i) {
      RunOp op;
      op.run_id = op.trace_id = IdOf(record * kRuns + i);
      AddPart(op, payload, PartField::kRun, RunText(op.run_id, op.trace_id));
      AddPart(op, payload, PartField::kInputs, "\"" + std::string(2'000, 'x') + "\"");
      ops.push_back(std::move(op));
    }
    AppendRecord(std::move(ops), std::move(payload));
  }
  Start();
  ASSERT_TRUE(WaitForDelivered(kRecords * kRuns));
  std::size_t largest = 0, bytes = 0;
  for (const Request& request : langsmith_->Requests()) {
    largest = std::max(largest, request.parts.size());
    bytes += request.body.size();
  }
  EXPECT_GT(bytes, 12u << 20);
  EXPECT_GE(largest, 2 * kRuns);
  EXPECT_LE(langsmith_->Requests().size(), 2 * (2 * kRecords * kRuns / largest));
}

TEST_F(LangSmithDestinationTest, NeverMixesKeysInARequest) {
  for (std::uint64_t i = 0; i < 30; ++i) {
    AppendRuns(i * 10, 2, i % 3 == 0 ? "" : "lsv2_" + std::to_string(i % 3));
  }
  Start("lsv2_own");
  ASSERT_TRUE(WaitForDelivered(60));
  std::map<std::string, std::set<std::string>> runs_of_key;
  for (const Request& request : langsmith_->Requests()) {
    for (const auto& part : request.parts) {
      runs_of_key[request.Header("x-api-key")].insert(part.name.substr(5, 36));
    }
  }
  ASSERT_EQ(runs_of_key.size(), 3u);
  EXPECT_EQ(runs_of_key["lsv2_own"].size(), 20u);
  EXPECT_TRUE(runs_of_key["lsv2_own"].contains(Id(0)));
  EXPECT_TRUE(runs_of_key["lsv2_1"].contains(Id(10)));
  EXPECT_TRUE(runs_of_key["lsv2_2"].contains(Id(20)));
}

TEST_F(LangSmithDestinationTest, RunsOfOneTraceKeepTheirOrder) {
  for (int i = 0; i < 50; ++i) {
    std::vector<RunOp> ops;
    std::string payload;
    for (std::uint64_t trace = 0; trace < 20; ++trace) {
      RunOp op;
      op.kind = i == 0 ? OpKind::kPost : OpKind::kPatch;
      op.run_id = op.trace_id = IdOf(trace);
      AddPart(op, payload, PartField::kRun,
              RunText(op.run_id, op.trace_id, "step-" + std::to_string(i)));
      ops.push_back(std::move(op));
    }
    AppendRecord(std::move(ops), std::move(payload));
  }
  Start();
  ASSERT_TRUE(WaitForDelivered(1000));
  std::map<std::string, int> last;
  for (const Request& request : langsmith_->Requests()) {
    for (const auto& part : request.parts) {
      const std::string id = part.name.substr(part.name.find('.') + 1);
      const std::size_t at = part.content.find("step-");
      const int step = std::stoi(part.content.substr(at + 5));
      EXPECT_EQ(step, last.contains(id) ? last[id] + 1 : 0) << id;
      last[id] = step;
    }
  }
  EXPECT_EQ(last.size(), 20u);
}

TEST_F(LangSmithDestinationTest, RetriesWhatInvitesItAndLosesNothing) {
  Reply reset;
  reset.reset = true;
  Reply page = Status(200);
  page.content_type = "text/html";
  langsmith_->Script({Status(503), reset, Status(429), Status(500), Status(408), Status(302), page,
                      Status(502), reset, reset, Status(504), Status(405)});
  AppendRuns(0, 10);
  Start();
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(destination_->Stats().sent, 10u);
  EXPECT_EQ(langsmith_->RunIds().size(), 10u);
  // Not 3: libcurl itself repeats on a fresh connection what a kept one could not take.
  EXPECT_GE(Errors()["connection"], 1u);
  EXPECT_EQ(Errors()["503"], 1u);
}

TEST_F(LangSmithDestinationTest, HonoursRetryAfter) {
  Reply later = Status(503);
  later.retry_after = seconds(1);
  langsmith_->Script({later});
  AppendRuns(0, 1);
  const auto start = std::chrono::steady_clock::now();
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_GE(std::chrono::steady_clock::now() - start, seconds(1));
}

TEST_F(LangSmithDestinationTest, ConflictCountsAsDelivered) {
  langsmith_->Script({Status(409)});
  AppendRuns(0, 3);
  Start();
  ASSERT_TRUE(WaitForDelivered(3));
  EXPECT_EQ(destination_->Stats().sent, 3u);
  EXPECT_EQ(langsmith_->Requests().size(), 1u);
}

TEST_F(LangSmithDestinationTest, HalvesWhatIsTooLarge) {
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.parts.size() > 10) return Status(413);
    return std::nullopt;
  });
  AppendRuns(0, 40);
  Start();
  ASSERT_TRUE(WaitForDelivered(40));
  EXPECT_EQ(destination_->Stats().sent, 40u);
  EXPECT_EQ(langsmith_->RunIds().size(), 40u);
}

TEST_F(LangSmithDestinationTest, FindsAndParksTheOneThatIsRefused) {
  AnswerRunWith(13, 422, "{\"detail\":\"dotted_order: bad\"}");
  AppendRuns(0, 100);
  Start();
  ASSERT_TRUE(WaitForDelivered(100));
  EXPECT_EQ(destination_->Stats().sent, 99u);
  EXPECT_EQ(destination_->Stats().parked, 1u);
  EXPECT_EQ(langsmith_->RunIds().size(), 99u);
  const auto parked = Parked();
  ASSERT_EQ(parked.size(), 1u);
  const boost::json::value line = boost::json::parse(parked[0]);
  EXPECT_EQ(line.at("run_id"), Id(13).c_str());
  EXPECT_EQ(line.at("code"), "422");
  EXPECT_EQ(line.at("reason"), "{\"detail\":\"dotted_order: bad\"}");
  EXPECT_EQ(line.at("run").at("inputs").at("n"), 13);
}

TEST_F(LangSmithDestinationTest, ASingleRunThatIsTooLargeIsParked) {
  AnswerRunWith(3, 413);
  AppendRuns(0, 8);
  Start();
  ASSERT_TRUE(WaitForDelivered(8));
  EXPECT_EQ(destination_->Stats().sent, 7u);
  EXPECT_EQ(boost::json::parse(Parked().at(0)).at("run_id"), Id(3).c_str());
}

TEST_F(LangSmithDestinationTest, ARefusedKeyWaitsWhileOthersGoOn) {
  std::atomic<bool> refuse{true};
  langsmith_->SetHandler([&](const Request& request) -> std::optional<Reply> {
    if (refuse && request.Header("x-api-key") == "lsv2_bad") return Status(401);
    return std::nullopt;
  });
  AppendRuns(0, 5, "lsv2_bad");
  AppendRuns(100, 5, "lsv2_good");
  Start();
  ASSERT_TRUE(WaitFor(
      [](const DestinationStats& stats) { return stats.sent == 5 && stats.held_keys == 1; }));
  AppendRuns(200, 5, "lsv2_good");
  AppendRuns(300, 5, "lsv2_bad");
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 10; }));
  EXPECT_EQ(destination_->Stats().lag, 10u);

  // The held runs survive a restart of the collector.
  destination_.reset();
  OpenLog();
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.available == 10; }));
  EXPECT_EQ(destination_->Stats().held_keys, 1u);
  refuse = false;
  ASSERT_TRUE(WaitForDelivered(10));
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.held_keys == 0; }));
  EXPECT_EQ(langsmith_->RunIds().size(), 20u);
  AppendRuns(400, 1, "lsv2_bad");
  ASSERT_TRUE(WaitForDelivered(11));
}

TEST_F(LangSmithDestinationTest, ANewKeyIsTriedAtOnce) {
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.Header("x-api-key") != "lsv2_new") return Status(403);
    return std::nullopt;
  });
  AppendRuns(0, 5);
  DestinationOptions options = Options();
  options.held_interval = std::chrono::hours(1);
  Start("lsv2_old", std::move(options));
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.held_keys == 1; }));
  auto commit = destination_->PrepareReload(
      {DestinationConfig::Kind::kLangSmith, langsmith_->url(), "lsv2_new"});
  ASSERT_TRUE(commit.ok());
  (*commit)();
  ASSERT_TRUE(WaitForDelivered(5));
}

TEST_F(LangSmithDestinationTest, UsesBatchWhereThereIsNoMultipart) {
  langsmith_->SetHandler([](const Request& request) -> std::optional<Reply> {
    if (request.target == "/runs/multipart") return Status(404);
    return std::nullopt;
  });
  AppendRuns(0, 5);
  Start();
  ASSERT_TRUE(WaitForDelivered(5));
  const auto requests = langsmith_->Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].target, "/runs/batch");
  const boost::json::value body = boost::json::parse(requests[1].body);
  ASSERT_EQ(body.at("post").as_array().size(), 5u);
  EXPECT_EQ(body.at("post").at(0).at("inputs").at("n"), 0);
  AppendRuns(5, 1);
  ASSERT_TRUE(WaitForDelivered(6));
  EXPECT_EQ(langsmith_->Requests().size(), 3u) << "multipart is not tried again at once";
}

TEST_F(LangSmithDestinationTest, RunsWithoutTraceGoToTheirOwnPaths) {
  RunOp post;
  std::string payload;
  post.run_id = IdOf(1);
  AddPart(post, payload, PartField::kRun, "{\"id\":\"" + Id(1) + "\",\"name\":\"a\"}");
  RunOp patch;
  patch.kind = OpKind::kPatch;
  patch.run_id = IdOf(1);
  AddPart(patch, payload, PartField::kRun, "{\"end_time\":1}");
  AddPart(patch, payload, PartField::kOutputs, "{\"b\":2}");
  AppendRecord({post, patch}, payload);
  Start();
  ASSERT_TRUE(WaitForDelivered(2));
  const auto requests = langsmith_->Requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].method + requests[0].target, "POST/runs");
  EXPECT_EQ(requests[1].method + requests[1].target, "PATCH/runs/" + Id(1));
  EXPECT_EQ(boost::json::parse(requests[1].body).at("outputs").at("b"), 2);
}

TEST_F(LangSmithDestinationTest, ComesBackSoonAfterAnOutage) {
  AppendRuns(0, 10);
  const int port = langsmith_->port();
  langsmith_.reset();
  StartDestination(
      {DestinationConfig::Kind::kLangSmith, "http://127.0.0.1:" + std::to_string(port), ""},
      Options());
  ASSERT_TRUE(WaitFor([this](const DestinationStats& stats) {
    return stats.errors.contains("connection") && stats.errors.at("connection") >= 5;
  }));
  EXPECT_EQ(destination_->Stats().lag, 10u);
  langsmith_ = FakeLangSmith::Start(port);
  ASSERT_NE(langsmith_, nullptr);
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(langsmith_->RunIds().size(), 10u);
}

TEST_F(LangSmithDestinationTest, AProbeEndsALongPause) {
  // Down for `/info` too: the pause after 503 would be an hour.
  langsmith_->SetDefault(Status(503));
  AppendRuns(0, 1);
  DestinationOptions options = Options();
  options.first_backoff = std::chrono::hours(1);
  options.max_backoff = std::chrono::hours(2);
  Start("", std::move(options));
  ASSERT_TRUE(langsmith_->WaitUntil(
      [](const FakeLangSmith& fake) { return !fake.Requests().empty(); }, seconds(20)));
  ASSERT_TRUE(langsmith_->WaitUntilProbed(2, seconds(20)));
  langsmith_->SetDefault(Reply{});
  ASSERT_TRUE(WaitForDelivered(1));
}

TEST_F(LangSmithDestinationTest, StopsAtARecordsBoundaryWhileTheTargetHangs) {
  Reply hold;
  hold.hold = true;
  langsmith_->SetDefault(hold);
  AppendRuns(0, 5);
  Start();
  ASSERT_TRUE(langsmith_->WaitUntil(
      [](const FakeLangSmith& fake) { return !fake.Requests().empty(); }, seconds(20)));
  destination_->Stop(std::chrono::milliseconds(10));
  EXPECT_EQ(destination_->Stats().sent, 0u);
  langsmith_->Release();
  destination_.reset();
  OpenLog();
  Start();
  ASSERT_TRUE(WaitForDelivered(5));
  EXPECT_EQ(langsmith_->RunIds().size(), 5u);
}

TEST_F(LangSmithDestinationTest, AKeyThatCanNoLongerBeReadParksItsRuns) {
  AppendRuns(0, 2, "lsv2_lost");
  keys_.reset();
  std::filesystem::remove(directory_.path() / "secret");
  keys_ = std::shared_ptr<KeyRing>(KeyRing::Open(directory_.path()).value());
  Start("lsv2_own");
  ASSERT_TRUE(WaitForDelivered(2));
  EXPECT_EQ(destination_->Stats().parked, 2u);
  EXPECT_TRUE(langsmith_->Requests().empty()) << "never with another key";
  EXPECT_THAT(Parked().at(0), AllOf(HasSubstr("key"), Not(HasSubstr("lsv2"))));
}

}  // namespace
}  // namespace weft::collector
