// SPDX-License-Identifier: Apache-2.0
// Which callers a server believes.
#include <unistd.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracing_context.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using weft::testing::HasMetadata;
using weft::testing::HasTag;
using weft::testing::IsInProject;
using weft::testing::RunInTree;
using weft::testing::RunTree;

using Metadata = std::multimap<std::string, std::string>;

constexpr char kTheirRun[] = "019b7a00-0000-7000-8000-000000000001";
constexpr char kTheirParent[] = "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001";
constexpr char kTheirBaggage[] =
    "langsmith-metadata=%7B%22user%22%3A%22theirs%22%7D,langsmith-tags=canary,"
    "langsmith-project=theirs,tenant=blue";

const std::string kUnaryRun = RunNameOf(RpcKind::kUnary);

class Trust : public EchoTest {
 protected:
  void Serve(Flavour flavour, TracingOptions tracing, std::vector<ChainLink> middlewares = {}) {
    EchoTest::Serve(
        flavour,
        {.tracer = tracer_, .tracing = std::move(tracing), .middlewares = std::move(middlewares)},
        {});
    server_->progress().during_work = [this] { tenant_ = CurrentBaggage("tenant"); };
  }

  grpc::Status Call(const Metadata& metadata) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    return CallSync(RpcKind::kUnary, channel_, context);
  }
  grpc::Status CallAsStranger(Metadata more = {}) {
    more.emplace("langsmith-trace", kTheirParent);
    more.emplace("baggage", kTheirBaggage);
    return Call(more);
  }

  RunTree Finish() {
    channel_.reset();
    server_->Shutdown();
    return exporter_->Tree();
  }

  static bool IsTheirs(const RunInTree& run) {
    return run->context.parent_id() == RunId::Parse(kTheirRun);
  }
  // Nothing that a peer said holds in the run or below it.
  static void ExpectOwn(const RunTree& tree, const RunInTree& run) {
    ASSERT_TRUE(run) << tree;
    EXPECT_EQ(run->context.parent_id(), std::nullopt);
    EXPECT_EQ(run->context.trace_id(), run->context.id());
    EXPECT_FALSE(run->AllMetadata().contains("user"));
    EXPECT_THAT(run->AllTags(), IsEmpty());
    EXPECT_NE(run->context.baggage().project, std::optional<std::string>("theirs"));
    EXPECT_THAT(run->context.baggage().foreign, IsEmpty());
  }

  std::optional<std::string> tenant_;  // in the handler
};

class TrustFlavours : public Trust, public ::testing::WithParamInterface<Flavour> {
 protected:
  void Serve(TrustOptions trust, std::vector<ChainLink> middlewares = {}) {
    Trust::Serve(GetParam(), {.trust = std::move(trust)}, std::move(middlewares));
  }
};

TEST_P(TrustFlavours, BelievesEverybodyUnlessToldOtherwise) {
  Serve({});
  ASSERT_TRUE(CallAsStranger().ok());
  const RunTree tree = Finish();
  const RunInTree run = tree.FindRun(kUnaryRun);
  ASSERT_TRUE(run) << tree;
  EXPECT_TRUE(IsTheirs(run));
  EXPECT_THAT(run, AllOf(HasMetadata("user", "theirs"), HasTag("canary"), IsInProject("theirs")));
  EXPECT_FALSE(run->AllMetadata().contains("weft.caller_trust"));
  EXPECT_THAT(tenant_, ::testing::Optional(std::string("blue")));
}

TEST_P(TrustFlavours, LinksTheRunOfACallerThatIsNotTheParent) {
  Serve({.otherwise = CallerTrust::kLink});
  ASSERT_TRUE(CallAsStranger().ok());
  const RunTree tree = Finish();
  const RunInTree run = tree.FindRun(kUnaryRun);
  ExpectOwn(tree, run);
  EXPECT_THAT(
      run, AllOf(HasMetadata("weft.caller_trust", "link"),
                 HasMetadata("weft_links",
                             JsonArray{JsonObject{{"trace_id", "019b7a00000070008000000000000001"},
                                                  {"span_id", "8000000000000001"},
                                                  {"run_id", kTheirRun}}})));
  EXPECT_EQ(tenant_, std::nullopt);
  const RunInTree work = tree.FindRun("work");
  EXPECT_THAT(work, weft::testing::HasParent(kUnaryRun));
  EXPECT_FALSE(work->AllMetadata().contains("weft_links"));
}

TEST_P(TrustFlavours, LooksAtNothingOfACallerThatItIgnores) {
  Serve({.otherwise = CallerTrust::kIgnore});
  ASSERT_TRUE(CallAsStranger().ok());
  ASSERT_TRUE(Call({{"langsmith-trace", "malformed"}}).ok());
  EXPECT_EQ(Problems(), 0u);
  EXPECT_EQ(tenant_, std::nullopt);
  const RunTree tree = Finish();
  ASSERT_THAT(tree.FindRuns(kUnaryRun), SizeIs(2)) << tree;
  for (const RunInTree& run : tree.FindRuns(kUnaryRun)) {
    EXPECT_EQ(run->context.parent_id(), std::nullopt);
    EXPECT_THAT(run, HasMetadata("weft.caller_trust", "ignore"));
    EXPECT_FALSE(run->AllMetadata().contains("weft_links"));
  }
}

TEST_P(TrustFlavours, DecidesByWhereThePeerIs) {
  for (const auto& [peers, expected] :
       std::vector<std::pair<std::vector<std::string>, bool>>{{{"127.0.0.0/8"}, true},
                                                              {{"10.0.0.0/8", "127.0.0.1"}, true},
                                                              {{"::ffff:127.0.0.0/104"}, true},
                                                              {{"10.0.0.0/8"}, false},
                                                              {{"unix", "::1"}, false}}) {
    SCOPED_TRACE(::testing::PrintToString(peers));
    exporter_->Clear();
    Serve({.rules = {{.peers = peers}}, .otherwise = CallerTrust::kLink});
    ASSERT_TRUE(CallAsStranger().ok());
    const RunTree tree = Finish();
    const RunInTree run = tree.FindRun(kUnaryRun);
    ASSERT_TRUE(run) << tree;
    EXPECT_EQ(IsTheirs(run), expected);
  }
}

TEST_P(TrustFlavours, DecidesByWhoCallsOnceAuthHasSaidIt) {
  const auto auth = Auth(ApiKey({{"s3cret", {.name = "team-billing"}}, {"g", {.name = "guest"}}}),
                         {.record = true});
  Serve({.rules = {{.identities = {"team-*"}}}, .otherwise = CallerTrust::kLink}, {auth});
  ASSERT_TRUE(CallAsStranger({{"x-api-key", "s3cret"}}).ok());
  EXPECT_THAT(tenant_, ::testing::Optional(std::string("blue")));
  ASSERT_TRUE(CallAsStranger({{"x-api-key", "g"}}).ok());
  EXPECT_EQ(tenant_, std::nullopt);
  EXPECT_EQ(CallAsStranger({{"x-api-key", "wrong"}}).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  const RunTree tree = Finish();
  int known = 0;
  for (const RunInTree& run : tree.FindRuns(kUnaryRun)) {
    const bool team = ::testing::Matches(HasMetadata("enduser.id", "team-billing"))(run);
    const bool guest = ::testing::Matches(HasMetadata("enduser.id", "guest"))(run);
    known += team || guest ? 1 : 0;
    EXPECT_EQ(IsTheirs(run), team);
    if (!team && !guest) {
      EXPECT_THAT(run, HasMetadata("weft.rejected_by", "auth"));
    }
  }
  EXPECT_THAT(tree.FindRuns(kUnaryRun), SizeIs(3)) << tree;
  EXPECT_EQ(known, 2);
  for (const RunInTree& work : tree.FindRuns("work")) {
    EXPECT_THAT(work, weft::testing::HasParent(kUnaryRun));
  }
}

TEST_P(TrustFlavours, ARejectedCallHasItsRunInItsOwnTrace) {
  Serve({.rules = {{.identities = {"nobody"}}}, .otherwise = CallerTrust::kIgnore},
        {std::make_shared<RejectAll>()});
  EXPECT_EQ(CallAsStranger().error_code(), RejectAll::kCode);
  const RunTree tree = Finish();
  const RunInTree run = tree.FindRun(kUnaryRun);
  ExpectOwn(tree, run);
  EXPECT_THAT(run, HasMetadata("weft.rejected_by", "reject_all"));
}

// Whatever a peer sends, well-formed or not: a caller that is not believed changes nothing.
TEST_P(TrustFlavours, HoldsForWhateverAPeerSends) {
  Serve({.otherwise = CallerTrust::kLink});
  std::mt19937 random(20260102);
  const auto pick = [&](const std::vector<std::string>& from) {
    return from[random() % from.size()];
  };
  const std::vector<std::string> traces = {kTheirParent,
                                           std::string(kTheirParent) + "." + kTheirParent, "x", "",
                                           std::string(kTheirParent) + "."};
  const std::vector<std::string> baggages = {kTheirBaggage, "a=b,c=d;e", "%%%", "langsmith-tags=,",
                                             std::string(3000, 'x') + "=1"};
  const std::vector<std::string> parents = {
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ff-1-2-3"};
  constexpr std::size_t kCalls = 60;
  for (std::size_t i = 0; i < kCalls; ++i) {
    Metadata metadata;
    for (auto n = random() % 3; n > 0; --n) metadata.emplace("langsmith-trace", pick(traces));
    for (auto n = random() % 3; n > 0; --n) metadata.emplace("baggage", pick(baggages));
    for (auto n = random() % 2; n > 0; --n) metadata.emplace("traceparent", pick(parents));
    for (auto n = random() % 2; n > 0; --n) metadata.emplace("tracestate", "v=1");
    for (auto n = random() % 2; n > 0; --n) metadata.emplace("weft-keep", "1");
    ASSERT_TRUE(Call(metadata).ok());
    ASSERT_EQ(tenant_, std::nullopt);
  }
  const RunTree tree = Finish();
  const auto runs = tree.FindRuns(kUnaryRun);
  ASSERT_THAT(runs, SizeIs(kCalls));
  for (const RunInTree& run : runs) {
    ASSERT_EQ(run->context.parent_id(), std::nullopt);
    ASSERT_THAT(run->AllTags(), IsEmpty());
    ASSERT_FALSE(run->AllMetadata().contains("user"));
    ASSERT_THAT(run->context.baggage().foreign, IsEmpty());
    ASSERT_THAT(run->context.baggage().tracestate, IsEmpty());
    ASSERT_EQ(run->context.baggage().project, runs[0]->context.baggage().project);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TrustFlavours,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                           Flavour::kGenericCq, Flavour::kGenericCallback,
                                           Flavour::kFiber),
                         [](const auto& flavour) {
                           std::ostringstream name;
                           name << flavour.param;
                           return name.str();
                         });

TEST_F(Trust, RulesAreForMethods) {
  Serve(Flavour::kSync,
        {.trust = {.rules = {{.trust = CallerTrust::kLink, .methods = "/*/Unary"}}}});
  ASSERT_TRUE(CallAsStranger().ok());
  grpc::ClientContext context;
  context.AddMetadata("langsmith-trace", kTheirParent);
  ASSERT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context).ok());
  const RunTree tree = Finish();
  EXPECT_FALSE(IsTheirs(tree.FindRun(kUnaryRun)));
  EXPECT_TRUE(IsTheirs(tree.FindRun(RunNameOf(RpcKind::kBidiStream))));
}

TEST_F(Trust, TheFirstRuleThatTakesACallDecides) {
  Serve(Flavour::kSync, {.trust = {.rules = {{.trust = CallerTrust::kIgnore, .identities = {"*"}},
                                             {.trust = CallerTrust::kLink, .peers = {"127.0.0.1"}},
                                             {.trust = CallerTrust::kTrusted}}}});
  ASSERT_TRUE(CallAsStranger().ok());
  EXPECT_THAT(Finish().FindRun(kUnaryRun), HasMetadata("weft.caller_trust", "link"));
}

TEST_F(Trust, ALinkToACallerOfOpenTelemetryNamesItsSpan) {
  Serve(Flavour::kSync, {.trust = {.otherwise = CallerTrust::kLink}});
  ASSERT_TRUE(
      Call({{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}).ok());
  EXPECT_THAT(Finish().FindRun(kUnaryRun),
              HasMetadata("weft_links",
                          JsonArray{JsonObject{{"trace_id", "0af7651916cd43dd8448eb211c80319c"},
                                               {"span_id", "b7ad6b7169203331"}}}));
}

TEST_F(Trust, WithoutServerRunsTheHandlerBeginsItsOwnTrace) {
  Serve(Flavour::kSync, {.server_runs = false, .trust = {.otherwise = CallerTrust::kLink}});
  ASSERT_TRUE(CallAsStranger().ok());
  EXPECT_EQ(tenant_, std::nullopt);
  const RunTree tree = Finish();
  ASSERT_EQ(tree.size(), 1u) << tree;
  EXPECT_EQ(tree.FindRun("work")->context.parent_id(), std::nullopt);
}

TEST_F(Trust, MessagesAreBelievedNoMoreThanTheirCaller) {
  const std::string name = RunNameOf(RpcKind::kClientStream);
  const PerMessage per_message{.field = "text"};
  for (const CallerTrust trust :
       {CallerTrust::kTrusted, CallerTrust::kLink, CallerTrust::kIgnore}) {
    exporter_->Clear();
    EchoTest::Serve(
        Flavour::kSync,
        {.tracer = tracer_, .tracing = {.per_message = per_message, .trust = {.otherwise = trust}}},
        {.tracer = tracer_, .tracing = {.per_message = per_message}});
    grpc::ClientContext context;
    ASSERT_TRUE(CallSync(RpcKind::kClientStream, channel_, context, "").ok());
    const RunTree tree = Finish();
    const auto messages = tree.FindRuns(name + " received");
    ASSERT_THAT(messages, SizeIs(2)) << tree;
    for (const RunInTree& message : messages) {
      EXPECT_EQ(message.Parent()->DisplayName() == name + " sent", trust == CallerTrust::kTrusted);
      EXPECT_EQ(message->AllMetadata().contains("weft_links"), trust == CallerTrust::kLink);
    }
  }
}

TEST_F(Trust, WithTracingOffAStrangersHeadersGoNoFurther) {
  auto off = Tracer::Create({.enabled = false}).value();
  for (const CallerTrust trust :
       {CallerTrust::kTrusted, CallerTrust::kLink, CallerTrust::kIgnore}) {
    const auto received = std::make_shared<ReceivedMetadata>();
    EchoServer far(Flavour::kSync, {.tracer = tracer_, .middlewares = {received}});
    const auto onwards =
        CreateChannel(far.address(), grpc::InsecureChannelCredentials(), {.tracer = off});
    EchoTest::Serve(Flavour::kSync, {.tracer = off, .tracing = {.trust = {.otherwise = trust}}},
                    {});
    server_->progress().during_work = [&] {
      grpc::ClientContext context;
      EXPECT_TRUE(CallSync(RpcKind::kUnary, onwards, context).ok());
    };
    ASSERT_TRUE(CallAsStranger().ok());
    const std::size_t expected = trust == CallerTrust::kTrusted ? 1 : 0;
    EXPECT_THAT(received->Last("langsmith-trace"), SizeIs(expected));
    EXPECT_THAT(received->Last("baggage"), SizeIs(expected));
  }
}

TEST_F(Trust, InterceptServerNamesAPeerThatItCannotRead) {
  for (const char* wrong : {"10.0.0/8", "10.0.0.0/33", "::1/129", "10.0.0.0/", "host", "", "1/x",
                            "fe80::1%eth0", "10.0.0.0/8 "}) {
    grpc::ServerBuilder builder;
    const absl::Status status = InterceptServer(
        builder, {.tracer = tracer_,
                  .tracing = {.trust = {.rules = {{}, {.peers = {"::/0", std::string(wrong)}}}}}});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("tracing.trust.rules[1].peers[1] is '" + std::string(wrong) + "'"));
  }
}

TEST_F(Trust, RulesThatCannotBeReadBelieveNobody) {
  EchoTest::Serve(
      Flavour::kSync,
      {.middlewares = {Tracing(tracer_, {.trust = {.rules = {{.peers = {"nonsense"}}}}})}}, {});
  ASSERT_TRUE(CallAsStranger().ok());
  EXPECT_FALSE(IsTheirs(Finish().FindRun(kUnaryRun)));
}

TEST_F(Trust, KnowsPeersOnThisMachinesSockets) {
  const std::string address = "unix:" + ::testing::TempDir() + "trust" + std::to_string(getpid());
  ::echo::Echo::Service service;  // answers with UNIMPLEMENTED
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  ASSERT_TRUE(InterceptServer(builder, {.tracer = tracer_,
                                        .tracing = {.trust = {.rules = {{.peers = {"unix"}}},
                                                              .otherwise = CallerTrust::kLink}}})
                  .ok());
  const auto server = builder.BuildAndStart();
  ASSERT_NE(server, nullptr);
  channel_ = weft::CreateChannel(address, grpc::InsecureChannelCredentials());
  EXPECT_EQ(CallAsStranger().error_code(), grpc::StatusCode::UNIMPLEMENTED);
  channel_.reset();
  server->Shutdown();
  const RunTree tree = exporter_->Tree();
  ASSERT_TRUE(tree.FindRun(kUnaryRun)) << tree;
  EXPECT_TRUE(IsTheirs(tree.FindRun(kUnaryRun)));
}

// A network takes exactly the addresses that begin with its bits.
TEST_F(Trust, NetworksAreTheirFirstBits) {
  std::mt19937 random(7);
  const auto text = [](std::uint32_t address) {
    return std::to_string(address >> 24) + "." + std::to_string(address >> 16 & 255) + "." +
           std::to_string(address >> 8 & 255) + "." + std::to_string(address & 255);
  };
  constexpr std::uint32_t kPeer = 0x7f000001;
  for (int i = 0; i < 25; ++i) {
    const auto bits = static_cast<std::uint32_t>(random() % 33);
    // Mostly near the peer: the same but for one bit.
    const auto any = static_cast<std::uint32_t>(random());
    const std::uint32_t address = i % 5 == 0 ? any : kPeer ^ 1u << any % 32;
    const bool expected = bits == 0 || (address ^ kPeer) >> (32 - bits) == 0;
    const std::string network = text(address) + "/" + std::to_string(bits);
    exporter_->Clear();
    Serve(Flavour::kSync,
          {.trust = {.rules = {{.peers = {network}}}, .otherwise = CallerTrust::kLink}});
    ASSERT_TRUE(CallAsStranger().ok());
    const RunTree tree = Finish();
    ASSERT_TRUE(tree.FindRun(kUnaryRun)) << tree;
    EXPECT_EQ(IsTheirs(tree.FindRun(kUnaryRun)), expected) << network;
  }
}

}  // namespace
}  // namespace weft::echo_test
