// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracing_context.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using weft::testing::HasMetadata;
using weft::testing::RunInTree;
using weft::testing::RunTree;

const std::string kUnaryRun = RunNameOf(RpcKind::kUnary);

class Propagation : public EchoTest {
 protected:
  void Serve(InterceptorOptions server, InterceptorOptions client) {
    server.middlewares.emplace_back(received_);
    EchoTest::Serve(Flavour::kSync, std::move(server), std::move(client));
  }
  void Serve() { Serve({.tracer = tracer_}, {.tracer = tracer_}); }

  /// A unary call with request headers that the application sets.
  grpc::Status Call(const std::multimap<std::string, std::string>& headers = {}) {
    return CallOn(channel_, headers);
  }
  static grpc::Status CallOn(const std::shared_ptr<grpc::Channel>& channel,
                             const std::multimap<std::string, std::string>& headers = {}) {
    grpc::ClientContext context;
    for (const auto& [key, value] : headers) context.AddMetadata(key, value);
    return CallSync(RpcKind::kUnary, channel, context);
  }

  RunTree Finish() {
    channel_.reset();
    server_->Shutdown();
    return exporter_->Tree();
  }

  static RunInTree Side(const RunTree& tree, const char* otel_kind) {
    for (const RunInTree& run : tree.FindRuns(kUnaryRun)) {
      if (::testing::Matches(HasMetadata("otel_kind", otel_kind))(run)) return run;
    }
    return tree.FindRun("no such run");
  }

  std::shared_ptr<ReceivedMetadata> received_ = std::make_shared<ReceivedMetadata>();
};

TEST_F(Propagation, SendsTheHeadersOfTheClientRun) {
  Serve();
  {
    const weft::Run caller("caller", {.metadata = {{"user", "u-1"}}, .tracer = tracer_});
    ASSERT_TRUE(Call().ok());
  }
  const RunTree tree = Finish();
  const RunInTree client = Side(tree, "CLIENT");
  ASSERT_TRUE(client) << tree;
  EXPECT_THAT(received_->Last("langsmith-trace"),
              ElementsAre(std::string(client->context.dotted_order())));
  EXPECT_THAT(received_->Last("baggage"), ElementsAre(HasSubstr("langsmith-metadata=")));
  EXPECT_THAT(received_->Last("traceparent"), IsEmpty());
  EXPECT_THAT(Side(tree, "SERVER"), HasMetadata("user", "u-1"));
}

TEST_F(Propagation, MalformedTraceHeadersFailNoCall) {
  Serve({.tracer = tracer_}, {.selector = Selector("/none")});
  std::size_t calls = 0;
  const std::string good = "20260101T000000000001Z019b7a00-0000-7000-8000-000000000001";
  for (const std::string& trace :
       {std::string("x"), std::string(" "), std::string("20260101T000000Z"), good + ".", "." + good,
        good + "..", good + "." + std::string(5000, 'a'), std::string(6000, '.'),
        std::string("20269999T000000000001Z019b7a00-0000-7000-8000-000000000001"),
        std::string("%00%ff")}) {
    EXPECT_TRUE(Call({{"langsmith-trace", trace}}).ok()) << trace;
    ++calls;
  }
  for (const char* baggage :
       {"langsmith-metadata=%7B", "=", ",,,", "%", "langsmith-metadata=[1]"}) {
    EXPECT_TRUE(Call({{"langsmith-trace", "bad"}, {"baggage", baggage}}).ok()) << baggage;
    ++calls;
  }
  EXPECT_GE(Problems(), calls - 1);  // A blank header counts as none.
  const RunTree tree = Finish();
  EXPECT_THAT(tree.Roots(), SizeIs(calls));
  EXPECT_THAT(tree.FindRuns(kUnaryRun), SizeIs(calls));
}

TEST_F(Propagation, TraceHeadersThatContradictEachOtherNameNoParent) {
  Serve({.tracer = tracer_}, {.selector = Selector("/none")});
  const std::string one = "20260101T000000000001Z019b7a00-0000-7000-8000-000000000001";
  const std::string other = "20260101T000000000001Z019b7a00-0000-7000-8000-000000000002";
  ASSERT_TRUE(Call({{"langsmith-trace", one}, {"langsmith-trace", one}}).ok());
  ASSERT_TRUE(Call({{"langsmith-trace", one}, {"langsmith-trace", other}}).ok());
  const RunTree tree = Finish();
  const auto runs = tree.FindRuns(kUnaryRun);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]->context.parent_id(), RunId::Parse("019b7a00-0000-7000-8000-000000000001"));
  EXPECT_EQ(runs[1]->context.parent_id(), std::nullopt);
}

TEST_F(Propagation, HeadersThatTheApplicationWroteNameTheParent) {
  Serve();
  const std::string by_hand = "20260101T000000000001Z019b7a00-0000-7000-8000-000000000001";
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    ASSERT_TRUE(Call({{"langsmith-trace", by_hand}}).ok());
  }
  const RunTree tree = Finish();
  const RunInTree client = Side(tree, "CLIENT");
  ASSERT_TRUE(client);
  EXPECT_EQ(client->context.parent_id(), RunId::Parse("019b7a00-0000-7000-8000-000000000001"));
  EXPECT_THAT(received_->Last("langsmith-trace"),
              ElementsAre(std::string(client->context.dotted_order())));
}

TEST_F(Propagation, JoinsTheApplicationsBaggageWithItsOwn) {
  Serve();
  {
    const weft::Run caller("caller", {.metadata = {{"user", "u-1"}}, .tracer = tracer_});
    ASSERT_TRUE(Call({{"baggage", "tenant=blue;ttl=3 , langsmith-project=stale"},
                      {"baggage", "region=north"}})
                    .ok());
  }
  ASSERT_THAT(received_->Last("baggage"), SizeIs(1));
  const std::string baggage = received_->Last("baggage")[0];
  EXPECT_THAT(baggage, HasSubstr("tenant=blue;ttl=3"));
  EXPECT_THAT(baggage, HasSubstr("region=north"));
  EXPECT_THAT(baggage, HasSubstr("langsmith-metadata="));
  EXPECT_THAT(baggage, Not(HasSubstr("stale")));
  EXPECT_THAT(Side(Finish(), "SERVER"), HasMetadata("user", "u-1"));
}

TEST_F(Propagation, DropsTheLargestMetadataWhenBaggageIsTooLarge) {
  Serve();
  {
    JsonObject metadata = {{"user", "u-1"}, {"huge", std::string(9000, 'x')}};
    for (int i = 0; i < 30; ++i) metadata["k" + std::to_string(i)] = std::string(400, '%');
    const weft::Run caller(
        "caller", {.tags = {"canary"}, .metadata = std::move(metadata), .tracer = tracer_});
    ASSERT_TRUE(Call().ok());
  }
  EXPECT_EQ(Dropped("budget-metadata"), 1u);
  EXPECT_EQ(Dropped("budget-tags"), 0u);
  std::size_t bytes = 0;
  for (const char* name : {"langsmith-trace", "baggage"}) {
    ASSERT_THAT(received_->Last(name), SizeIs(1));
    bytes += std::string(name).size() + received_->Last(name)[0].size() + 32;
  }
  EXPECT_LE(bytes, 6u * 1024);
  const RunTree tree = Finish();
  const RunInTree server = Side(tree, "SERVER");
  EXPECT_EQ(server->context.parent_id(), Side(tree, "CLIENT")->context.id());
  EXPECT_THAT(server, HasMetadata("user", "u-1"));
  EXPECT_FALSE(server->AllMetadata().contains("huge"));
  EXPECT_THAT(Side(tree, "CLIENT"), HasMetadata("weft_headers_dropped", "metadata"));
}

TEST_F(Propagation, GivesUpItsOwnHeadersBeforeACallOfTheApplicationFails) {
  Serve();
  const weft::Run caller("caller", {.tracer = tracer_});
  ASSERT_TRUE(Call({{"application", std::string(7200, 'x')}}).ok());
  EXPECT_THAT(received_->Last("langsmith-trace"), IsEmpty());
  EXPECT_GE(Dropped("no-room"), 1u);
}

TEST_F(Propagation, ShortensADottedOrderThatIsTooDeep) {
  Serve();
  const auto now = std::chrono::system_clock::now();
  RunContext deep = RunContext::Root(RunId::New(now), now, nullptr);
  for (int i = 0; i < 150; ++i) deep = deep.Child(RunId::New(now), now);
  {
    const weft::Run caller("caller", {.parent = deep, .tracer = tracer_});
    ASSERT_TRUE(Call().ok());
  }
  const RunTree tree = Finish();
  const RunInTree server = Side(tree, "SERVER");
  EXPECT_EQ(server->context.parent_id(), Side(tree, "CLIENT")->context.id());
  EXPECT_EQ(server->context.trace_id(), deep.trace_id());
  EXPECT_EQ(received_->Last("langsmith-trace")[0].size(), 41u * 59 - 1);
  EXPECT_EQ(Dropped("budget-segments"), 1u);
}

TEST_F(Propagation, StripsASentinelThatAProxyForwarded) {
  Serve();
  ASSERT_TRUE(Call({{"weft-call", ""}, {"other", "kept"}}).ok());
  EXPECT_THAT(received_->Last("weft-call"), IsEmpty());
  EXPECT_THAT(received_->Last("other"), ElementsAre("kept"));
}

TEST_F(Propagation, WritesW3cHeadersWhenAsked) {
  Serve({.tracer = tracer_},
        {.tracer = tracer_, .tracing = {.propagation = weft::Propagation::kBoth}});
  ASSERT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("langsmith-trace"), SizeIs(1));
  EXPECT_THAT(received_->Last("traceparent"), SizeIs(1));
  const RunTree tree = Finish();
  EXPECT_EQ(Side(tree, "SERVER")->context.parent_id(), Side(tree, "CLIENT")->context.id());
}

const std::multimap<std::string, std::string> kW3cCaller = {
    {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    {"tracestate", "vendor=x"}};

TEST_F(Propagation, AnswersACallerThatKnowsOnlyW3cInItsOwnWords) {
  Serve();  // the far end
  EchoServer middle(Flavour::kSync, {.tracer = tracer_});
  middle.progress().during_work = [&] { EXPECT_TRUE(Call().ok()); };
  const auto plain = grpc::CreateChannel(middle.address(), grpc::InsecureChannelCredentials());
  ASSERT_TRUE(CallOn(plain, kW3cCaller).ok());
  ASSERT_THAT(received_->Last("traceparent"),
              ElementsAre(HasSubstr("00-0af7651916cd43dd8448eb211c80319c-")));
  EXPECT_THAT(received_->Last("tracestate"), ElementsAre("vendor=x"));
  EXPECT_THAT(received_->Last("langsmith-trace"), SizeIs(1));
  // The next caller has the same baggage, none, and is of another kind.
  ASSERT_TRUE(CallOn(plain, {{"langsmith-trace",
                              "20260101T000000000001Z019b7a00-0000-7000-8000-000000000001"}})
                  .ok());
  EXPECT_THAT(received_->Last("traceparent"), IsEmpty());
  middle.Shutdown();
  const RunTree tree = Finish();
  std::size_t below = 0;
  for (const RunInTree& run : tree.FindRuns(kUnaryRun)) {
    below += run->context.parent_id() == RunId::Parse("00000000-0000-0000-b7ad-6b7169203331");
  }
  EXPECT_EQ(below, 1u) << tree;
}

TEST_F(Propagation, PassesW3cHeadersOnWithTracingOff) {
  const auto off = Tracer::Create({.enabled = false}).value();
  Serve({.tracer = tracer_}, {.tracer = off});
  EchoServer middle(Flavour::kSync, {.tracer = off});
  middle.progress().during_work = [&] { EXPECT_TRUE(Call().ok()); };
  const auto plain = grpc::CreateChannel(middle.address(), grpc::InsecureChannelCredentials());
  ASSERT_TRUE(CallOn(plain, kW3cCaller).ok());
  EXPECT_THAT(received_->Last("traceparent"), ElementsAre(kW3cCaller.find("traceparent")->second));
  EXPECT_THAT(received_->Last("tracestate"), ElementsAre("vendor=x"));
  middle.Shutdown();
}

TEST_F(Propagation, WritesW3cHeadersWhereRunsAreSpans) {
  struct SpanExporter final : weft::testing::InMemoryExporter {
    bool speaks_opentelemetry() const noexcept override { return true; }
  };
  const auto spans = Tracer::Create({.exporters = {std::make_shared<SpanExporter>()}}).value();
  Serve({.tracer = tracer_}, {.tracer = spans});
  ASSERT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("traceparent"), SizeIs(1));
  EXPECT_THAT(received_->Last("langsmith-trace"), SizeIs(1));
  channel_ =
      CreateChannel(server_->address(), grpc::InsecureChannelCredentials(),
                    {.tracer = spans, .tracing = {.propagation = weft::Propagation::kLangSmith}});
  ASSERT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("traceparent"), IsEmpty());
}

TEST_F(Propagation, KeepsTheTreeConnectedWithOneSideLeftOut) {
  Serve({.tracer = tracer_, .tracing = {.server_runs = false}},
        {.tracer = tracer_, .tracing = {.client_runs = false}});
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    ASSERT_TRUE(Call().ok());
  }
  const RunTree tree = Finish();
  ASSERT_EQ(tree.size(), 2u) << tree;
  EXPECT_EQ(tree.FindRun("work")->context.parent_id(), tree.FindRun("caller")->context.id());
}

TEST_F(Propagation, AServiceWithoutTracingPassesItsCallersHeadersOn) {
  auto off = Tracer::Create({.enabled = false}).value();
  Serve();  // the far end
  EchoServer middle(Flavour::kSync, {.tracer = off});
  auto onwards =
      CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), {.tracer = off});
  middle.progress().during_work = [&] { EXPECT_TRUE(CallOn(onwards).ok()); };
  auto front =
      CreateChannel(middle.address(), grpc::InsecureChannelCredentials(), {.tracer = tracer_});
  {
    const weft::Run caller("caller", {.metadata = {{"user", "u-1"}}, .tracer = tracer_});
    EXPECT_TRUE(CallOn(front).ok());
  }
  middle.Shutdown();
  const RunTree tree = Finish();
  const RunInTree client = Side(tree, "CLIENT");
  const RunInTree server = Side(tree, "SERVER");
  ASSERT_TRUE(client && server) << tree;
  EXPECT_EQ(server->context.parent_id(), client->context.id());
  EXPECT_THAT(server, HasMetadata("user", "u-1"));
}

TEST_F(Propagation, ACallMadeByAHandlerContinuesTheTree) {
  Serve();  // B
  EchoServer a(Flavour::kSync, {.tracer = tracer_});
  a.progress().during_work = [&] { EXPECT_TRUE(Call().ok()); };
  auto to_a = CreateChannel(a.address(), grpc::InsecureChannelCredentials(), {.tracer = tracer_});
  EXPECT_TRUE(CallOn(to_a).ok());
  a.Shutdown();
  const RunTree tree = Finish();
  EXPECT_EQ(tree.ToString(), kUnaryRun + "\n  " + kUnaryRun + "\n    work\n      " + kUnaryRun +
                                 "\n        " + kUnaryRun + "\n          work\n");
}

TEST_F(Propagation, AMemberOfBaggageReachesTheThirdService) {
  for (const bool middle_traces : {true, false}) {
    SCOPED_TRACE(middle_traces);
    Serve();  // the third
    auto middles = middle_traces ? tracer_ : Tracer::Create({.enabled = false}).value();
    EchoServer middle(Flavour::kSync, {.tracer = middles});
    auto onwards =
        CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), {.tracer = middles});
    std::optional<std::string> in_second;
    std::optional<std::string> in_third;
    middle.progress().during_work = [&] {
      in_second = CurrentBaggage("tenant");
      const TracingContext more({.baggage = {{"region", "north"}}});
      EXPECT_TRUE(CallOn(onwards).ok());
    };
    server_->progress().during_work = [&] { in_third = CurrentBaggage("tenant"); };
    auto front =
        CreateChannel(middle.address(), grpc::InsecureChannelCredentials(), {.tracer = tracer_});
    {
      const TracingContext context({.baggage = {{"tenant", "blue one"}}, .tracer = tracer_});
      EXPECT_TRUE(CallOn(front).ok());
    }
    middle.Shutdown();
    Finish();
    EXPECT_THAT(in_second, ::testing::Optional(std::string("blue one")));
    EXPECT_THAT(in_third, ::testing::Optional(std::string("blue one")));
    ASSERT_THAT(received_->Last("baggage"), SizeIs(1));
    EXPECT_THAT(received_->Last("baggage")[0], HasSubstr("tenant=blue%20one"));
    EXPECT_THAT(received_->Last("baggage")[0], HasSubstr("region=north"));
  }
}

TEST_F(Propagation, MembersOfBaggageTravelWhereNobodyTraces) {
  auto off = Tracer::Create({.enabled = false}).value();
  Serve({.tracer = off}, {.tracer = off});
  std::optional<std::string> seen;
  server_->progress().during_work = [&] { seen = CurrentBaggage("tenant"); };
  const TracingContext context({.baggage = {{"tenant", "blue"}}});
  ASSERT_TRUE(Call({{"baggage", "theirs=kept"}}).ok());
  EXPECT_THAT(seen, ::testing::Optional(std::string("blue")));
  EXPECT_THAT(received_->Last("baggage"), ElementsAre("tenant=blue,theirs=kept"));
  EXPECT_THAT(received_->Last("langsmith-trace"), IsEmpty());
}

TEST_F(Propagation, MembersOfBaggageStayWithinTheBudget) {
  for (const bool traced : {true, false}) {
    SCOPED_TRACE(traced);
    auto tracer = traced ? tracer_ : Tracer::Create({.enabled = false}).value();
    Serve({.tracer = tracer}, {.tracer = tracer});
    const std::uint64_t before = Dropped("budget-foreign");
    const TracingContext context({.baggage = {{"huge", std::string(9000, 'x')}}});
    ASSERT_TRUE(Call().ok());
    EXPECT_EQ(Dropped("budget-foreign") - before, 1u);
    for (const std::string& value : received_->Last("baggage")) {
      EXPECT_THAT(value, Not(HasSubstr("huge")));
    }
    EXPECT_THAT(received_->Last("langsmith-trace"), SizeIs(traced ? 1 : 0));
    Finish();
  }
}

TEST_F(Propagation, AttemptsOfARetriedCallAreSiblings) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(R"({"methodConfig": [{"name": [{}], "retryPolicy": {
      "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
      "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  Serve();
  auto channel = CreateChannel(server_->address(), grpc::InsecureChannelCredentials(),
                               {.tracer = tracer_}, arguments);
  EXPECT_TRUE(CallOn(channel, {{kBehaviour, kFlaky}}).ok());
  channel.reset();
  const RunTree tree = Finish();
  ASSERT_EQ(tree.Roots().size(), 1u) << tree;
  const auto attempts = tree.Roots()[0].Children();
  ASSERT_EQ(attempts.size(), 3u) << tree;
  EXPECT_THAT(attempts[0]->error, ::testing::Optional(HasSubstr("UNAVAILABLE: try again")));
  EXPECT_FALSE(attempts[0]->AllMetadata().contains("rpc.grpc.previous_attempts"));
  EXPECT_THAT(attempts[1], HasMetadata("rpc.grpc.previous_attempts", 1));
  EXPECT_THAT(attempts[2], HasMetadata("rpc.grpc.previous_attempts", 2));
  EXPECT_FALSE(attempts[2]->error);
}

}  // namespace
}  // namespace weft::echo_test
