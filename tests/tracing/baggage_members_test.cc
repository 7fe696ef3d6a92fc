// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>
#include <thread>

#include <weft/tracing/tracing_context.h>

#include "tracing_fixture.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using testing::HasMetadata;
using testing::HasTag;
using ::testing::IsEmpty;
using testing::IsInProject;
using ::testing::Optional;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using Members = std::vector<std::pair<std::string, std::string>>;

Members MembersOf(const TraceHeaders& headers) { return headers.Parse().baggage->foreign; }

class BaggageMembersTest : public TracingTest {
 protected:
  const std::shared_ptr<Tracer> tracer_ = MakeTracer();
};

TEST_F(BaggageMembersTest, AreInTheHeadersOfRunsBelow) {
  const TracingContext context(
      {.baggage = {{"tenant", "blue & \xC3\xA4, one;two"}, {"region", ""}}, .tracer = tracer_});
  const Run outer("outer");
  const Run inner("inner");
  EXPECT_NE(inner.ToHeaders().baggage.find(",tenant=blue%20%26%20%C3%A4%2C%20one%3Btwo,region="),
            std::string::npos)
      << inner.ToHeaders().baggage;
  EXPECT_THAT(MembersOf(inner.ToHeaders()),
              ElementsAre(Pair("tenant", "blue & \xC3\xA4, one;two"), Pair("region", "")));
  EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("blue & \xC3\xA4, one;two")));
  EXPECT_THAT(CurrentBaggage("region"), Optional(std::string()));
  EXPECT_EQ(CurrentBaggage("other"), std::nullopt);
}

TEST_F(BaggageMembersTest, EndWithTheBlock) {
  const Run run("run", {.tracer = tracer_});
  {
    const TracingContext context({.baggage = {{"tenant", "blue"}}});
    EXPECT_TRUE(CurrentBaggage("tenant"));
  }
  EXPECT_EQ(CurrentBaggage("tenant"), std::nullopt);
  EXPECT_THAT(MembersOf(CurrentRun().ToHeaders()), IsEmpty());
}

TEST_F(BaggageMembersTest, InnerOnesReplaceThoseOfTheSameKey) {
  const TracingContext outer(
      {.baggage = {{"tenant", "blue"}, {"region", "north"}}, .tracer = tracer_});
  const Run run("run");
  const TracingContext inner({.baggage = {{"tenant", "red"}}});
  const Run below("below");
  EXPECT_THAT(MembersOf(below.ToHeaders()),
              UnorderedElementsAre(Pair("tenant", "red"), Pair("region", "north")));
  EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("red")));
}

TEST_F(BaggageMembersTest, OfACallerAreReadAndPassedOn) {
  const ParsedHeaders headers =
      TraceHeaders{.langsmith_trace = std::string(RemoteParent().parent.dotted_order()),
                   .baggage = "tenant=blue%20one;secret, region=north,langsmith-tags=far"}
          .Parse();
  const TracingContext context({.parent = headers, .tracer = tracer_});
  EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("blue one")));
  EXPECT_EQ(CurrentBaggage("langsmith-tags"), std::nullopt);
  const TracingContext inner({.baggage = {{"region", "south"}}});
  const Run run("run");
  EXPECT_THAT(MembersOf(run.ToHeaders()),
              UnorderedElementsAre(Pair("tenant", "blue one"), Pair("region", "south")));
}

TEST_F(BaggageMembersTest, WhatCannotBeSentIsLeftOutAndCounted) {
  const std::uint64_t before = DroppedBaggageMembers();
  const Members bad = {{"", "v"},         {"a b", "v"},   {"a,b", "v"},
                       {"k=v", "v"},      {"k;p", "v"},   {"a\r\nb", "v"},
                       {"\xC3\xA4", "v"}, {"\"k\"", "v"}, {"langsmith-project", "theirs"}};
  const Run plain("plain", {.tracer = tracer_});
  const std::string without = plain.ToHeaders().baggage;
  const TracingContext context({.baggage = bad});
  EXPECT_EQ(CurrentRun().ToHeaders().baggage, without);
  EXPECT_EQ(DroppedBaggageMembers() - before, bad.size());
  for (const auto& [key, value] : bad) EXPECT_EQ(CurrentBaggage(key), std::nullopt) << key;
  const TracingContext good({.baggage = {{"a.b-c_d!", "v"}}});
  EXPECT_EQ(DroppedBaggageMembers() - before, bad.size());
  EXPECT_TRUE(CurrentBaggage("a.b-c_d!"));
}

TEST_F(BaggageMembersTest, AnyValueIsPrintableOnTheWire) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const TracingContext context({.baggage = {{"bytes", all}}, .tracer = tracer_});
  const Run run("run");
  for (const char c : run.ToHeaders().baggage) EXPECT_TRUE(c > ' ' && c < 0x7F) << int{c};
}

TEST_F(BaggageMembersTest, GoIntoTheHeadersOfARunThatBeganBefore) {
  Run run("run", {.tags = {"own"}, .tracer = tracer_});
  {
    const TracingContext context({.baggage = {{"tenant", "blue"}}});
    const TraceHeaders headers = CurrentRun().ToHeaders();
    EXPECT_EQ(headers.langsmith_trace, run.context().dotted_order());
    EXPECT_THAT(MembersOf(headers), ElementsAre(Pair("tenant", "blue")));
    EXPECT_THAT(headers.Parse().baggage->tags, ElementsAre("own"));
    CurrentRun().SetOutputs({{"still", "the same run"}});
    const Run below("below");
    EXPECT_THAT(below.ToHeaders().Parse().baggage->tags, IsEmpty());
  }
  run.End();
  EXPECT_EQ(Tree().ToString(), "run\n  below\n");
  EXPECT_TRUE(Tree().FindRun("run")->outputs->contains("still"));
}

TEST_F(BaggageMembersTest, ChildrenKeepTheirOrderWhateverIsSaidInBetween) {
  Run run("run", {.tracer = tracer_});
  std::vector<std::string> orders;
  for (int i = 0; i < 4; ++i) {
    const TracingContext context({.baggage = {{"round", std::to_string(i)}}});
    orders.emplace_back(Run("in").context().dotted_order());
    const TracingContext again({.baggage = {{"again", "yes"}}});
    orders.emplace_back(Run("further in").context().dotted_order());
  }
  // The clock stands still, so only the parent keeps their times apart.
  EXPECT_TRUE(std::is_sorted(orders.begin(), orders.end()));
  std::set<std::string> times;
  for (const std::string& order : orders) times.insert(order.substr(order.rfind('.'), 22));
  EXPECT_EQ(times.size(), orders.size());
}

TEST_F(BaggageMembersTest, SaidInALoopKeepNothingOfEarlierRounds) {
  Run run("run", {.tracer = tracer_});
  Context context = Context::Current();
  for (int i = 0; i < 200'000; ++i) {
    context = WithTracing(context, {.baggage = {{"round", std::to_string(i)}}});
  }
  {
    const ContextScope scope(context);
    CurrentRun().SetOutputs({{"found", true}});
    EXPECT_THAT(CurrentTracing().baggage, ElementsAre(Pair("round", "199999")));
  }
  context = Context();  // Would overflow the stack if each round held the one before.
  run.End();
  EXPECT_TRUE(Only().outputs->contains("found"));
}

TEST_F(BaggageMembersTest, StayWithRunsThatHaveAnotherParent) {
  const TracingContext context({.baggage = {{"tenant", "blue"}}, .tracer = tracer_});
  const Run here("here");
  const Run root("root", {.parent = kNoParent});
  EXPECT_THAT(MembersOf(root.ToHeaders()), ElementsAre(Pair("tenant", "blue")));
  const Run remote("remote", {.parent = RemoteParent()});
  EXPECT_THAT(MembersOf(remote.ToHeaders()), ElementsAre(Pair("tenant", "blue")));
  const TracingContext again({.parent = kNoParent});
  EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("blue")));
}

TEST_F(BaggageMembersTest, TravelWithTracingOff) {
  const auto off = MakeTracer({.enabled = false});
  const TracingContext context({.baggage = {{"tenant", "blue"}}, .tracer = off});
  const Run run("run");
  EXPECT_FALSE(run);
  EXPECT_EQ(run.ToHeaders().baggage, "tenant=blue");
  EXPECT_EQ(run.ToHeaders().langsmith_trace, "");
  EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("blue")));
}

class CurrentTracingTest : public BaggageMembersTest {};

TEST_F(CurrentTracingTest, SaysNothingWhereNothingIs) {
  const TracingContextOptions now = CurrentTracing();
  EXPECT_TRUE(std::holds_alternative<std::monostate>(now.parent));
  EXPECT_EQ(now.project, std::nullopt);
  EXPECT_THAT(now.tags, IsEmpty());
  EXPECT_TRUE(now.metadata.empty());
  EXPECT_THAT(now.baggage, IsEmpty());
  EXPECT_THAT(now.enabled, Optional(false));
  EXPECT_EQ(now.tracer, nullptr);
}

TEST_F(CurrentTracingTest, SaysWhatARunWouldTakeOver) {
  const TracingContext context({.project = "mine",
                                .tags = {"canary"},
                                .metadata = {{"user", "u-1"}},
                                .baggage = {{"tenant", "blue"}},
                                .tracer = tracer_});
  EXPECT_THAT(CurrentTracing().project, Optional(std::string("mine")));
  const Run run("run", {.tags = {"own"}, .metadata = {{"step", 1}}});
  const TracingContext inner({.project = "other", .tags = {"late"}});
  const TracingContextOptions now = CurrentTracing();
  EXPECT_EQ(std::get<RunContext>(now.parent), run.context());
  EXPECT_THAT(now.project, Optional(std::string("mine")));
  EXPECT_THAT(now.tags, ElementsAre("canary", "late"));
  EXPECT_EQ(now.metadata, (JsonObject{{"user", "u-1"}, {"step", 1}}));
  EXPECT_THAT(now.baggage, ElementsAre(Pair("tenant", "blue")));
  EXPECT_THAT(now.enabled, Optional(true));
  EXPECT_EQ(now.tracer, tracer_);
}

TEST_F(CurrentTracingTest, NamesTheTracersProjectWhereNothingElseDoes) {
  const auto named = MakeTracer({.project = "of the tracer"});
  const TracingContext context({.tracer = named});
  EXPECT_THAT(CurrentTracing().project, Optional(std::string("of the tracer")));
  const TracingContext quiet({.enabled = false});
  EXPECT_THAT(CurrentTracing().enabled, Optional(false));
}

TEST_F(CurrentTracingTest, SaysTheSameOnAnotherThread) {
  {
    const TracingContext context({.project = "mine",
                                  .tags = {"canary"},
                                  .metadata = {{"user", "u-1"}},
                                  .baggage = {{"tenant", "blue"}},
                                  .tracer = tracer_});
    const Run run("run");
    std::thread([now = CurrentTracing()] {
      const TracingContext there(now);
      const Run below("below");
      EXPECT_THAT(CurrentBaggage("tenant"), Optional(std::string("blue")));
    }).join();
  }
  EXPECT_EQ(Tree().ToString(), "run\n  below\n");
  EXPECT_THAT(Tree().FindRun("below"), HasTag("canary"));
  EXPECT_THAT(Tree().FindRun("below"), HasMetadata("user", "u-1"));
  EXPECT_THAT(Tree().FindRun("below"), IsInProject("mine"));
}

}  // namespace
}  // namespace weft
