// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/trace_headers.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr std::string_view kRoot = "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001";
constexpr std::string_view kChild = "20260910T004640005002Z01a0b35e-7a05-7000-8000-000000000002";
constexpr std::string_view kTraceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

std::string Two() { return std::string(kRoot) + "." + std::string(kChild); }

ParsedHeaders ParseTrace(std::string_view value) {
  return TraceHeaders{.langsmith_trace = std::string(value)}.Parse();
}

ParsedHeaders ParseBaggage(std::string_view value) {
  return TraceHeaders{.baggage = std::string(value)}.Parse();
}

std::vector<std::string> Codes(const ParsedHeaders& parsed) {
  std::vector<std::string> codes;
  for (const HeaderProblem& problem : parsed.problems) codes.push_back(problem.code);
  return codes;
}

RunContext RunWith(TraceBaggage baggage) {
  return RunContext::Remote(Two(), std::make_shared<TraceBaggage>(std::move(baggage)));
}

TEST(LangsmithTraceTest, NamesTheCallingRunItsParentAndItsTrace) {
  const ParsedHeaders parsed = ParseTrace(Two());
  EXPECT_EQ(parsed.parent.trace_id().ToString(), kRoot.substr(22));
  EXPECT_EQ(parsed.parent.id().ToString(), kChild.substr(22));
  EXPECT_EQ(parsed.parent.parent_id()->ToString(), kRoot.substr(22));
  EXPECT_TRUE(parsed.parent.is_remote());
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(LangsmithTraceTest, AnAbsentHeaderIsNoParentAndNoProblem) {
  const ParsedHeaders parsed = TraceHeaders().Parse();
  EXPECT_FALSE(parsed.parent);
  ASSERT_NE(parsed.baggage, nullptr);
  EXPECT_THAT(parsed.problems, IsEmpty());
}

class AcceptedTraceTest : public testing::TestWithParam<std::string> {};

TEST_P(AcceptedTraceTest, IsAParent) { EXPECT_TRUE(ParseTrace(GetParam()).parent) << GetParam(); }

INSTANTIATE_TEST_SUITE_P(
    Forms, AcceptedTraceTest,
    testing::Values("20260910T0046401Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004640123Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910t004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004640000001Z01A0B35E-7A00-7000-8000-00000000ABCD",
                    "20240229T235959999999Z1b64098b-4ab7-43f6-afee-992304f198d8",
                    "00010101T000000000000Z00000000-0000-0000-0000-000000000000",
                    "99991231T235959999999Zffffffff-ffff-ffff-ffff-ffffffffffff",
                    " \t" + std::string(kRoot) + "\r\n"));

class RefusedTraceTest : public testing::TestWithParam<std::string> {};

TEST_P(RefusedTraceTest, IsNoParentAndAProblem) {
  const ParsedHeaders parsed = ParseTrace(GetParam());
  EXPECT_FALSE(parsed.parent);
  EXPECT_THAT(Codes(parsed), ElementsAre("bad-langsmith-trace"));
}

INSTANTIATE_TEST_SUITE_P(
    Forms, RefusedTraceTest,
    testing::Values("   ", "x", ".", std::string(kRoot) + ".", "." + std::string(kRoot),
                    std::string(kRoot) + ".." + std::string(kChild),
                    std::string(kRoot) + " . " + std::string(kChild),
                    std::string(kRoot) + ".junk." + std::string(kChild),
                    std::string(kRoot) + std::string(1, '\0'),
                    "20260910T004640Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T0046400000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004640000001z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910 004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260229T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260931T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20261310T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260010T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260900T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "00000910T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T244640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T006040000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004660000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "2026091+T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004640 00001Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T0046400000\xD9\xA1Z01a0b35e-7a00-7000-8000-000000000001",
                    "20260910T004640000001Z01a0b35e7a0070008000000000000001",
                    "20260910T004640000001Z{1a0b35e-7a00-7000-8000-00000000000}",
                    "20260910T004640000001Z01a0b35e-7a00-7000-8000-00000000000g"));

TEST(LangsmithTraceTest, TheSameValueTwiceIsOneValue) {
  TraceHeaders headers;
  EXPECT_TRUE(headers.Add("LangSmith-Trace", kRoot));
  EXPECT_TRUE(headers.Add("langsmith-trace", " " + std::string(kRoot)));
  EXPECT_TRUE(headers.Add("langsmith-trace", ""));
  EXPECT_TRUE(headers.Parse().parent);
}

TEST(LangsmithTraceTest, ValuesThatDifferAreNoParent) {
  TraceHeaders headers;
  headers.Add("langsmith-trace", kRoot);
  headers.Add("langsmith-trace", Two());
  headers.Add("langsmith-trace", kRoot);
  const ParsedHeaders parsed = headers.Parse();
  EXPECT_FALSE(parsed.parent);
  EXPECT_THAT(Codes(parsed), ElementsAre("repeated-langsmith-trace"));
}

TEST(LangsmithTraceTest, OtherHeadersAreNotTaken) {
  TraceHeaders headers;
  EXPECT_FALSE(headers.Add("langsmith-trace-bin", kRoot));
  EXPECT_FALSE(headers.Add("", kRoot));
  EXPECT_FALSE(headers.Parse().parent);
}

TEST(BaggageTest, TakesLangsmithsMembersAndKeepsTheOthers) {
  const ParsedHeaders parsed = ParseBaggage(
      " userId = al%20ice ;secure ,langsmith-tags=b%2Ca%2Cb,,\tlangsmith-project=px;ttl=30 ,"
      "langsmith-metadata=%7B%22n%22%3A2%7D,LangSmith-Project=other,");
  EXPECT_EQ(parsed.baggage->project, "px");
  EXPECT_THAT(parsed.baggage->tags, ElementsAre("a", "b"));
  EXPECT_EQ(parsed.baggage->metadata, (JsonObject{{"n", 2}}));
  EXPECT_THAT(parsed.baggage->foreign,
              ElementsAre(Pair("userId", "al ice"), Pair("LangSmith-Project", "other")));
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(BaggageTest, LeavesMalformedMembersOutAndNamesThem) {
  const ParsedHeaders parsed = ParseBaggage("flag,=v,two words=1,\xFF=2,ok=1,langsmith-project=p");
  EXPECT_THAT(parsed.baggage->foreign, ElementsAre(Pair("ok", "1")));
  EXPECT_EQ(parsed.baggage->project, "p");
  EXPECT_THAT(Codes(parsed), ElementsAre("bad-baggage-member", "bad-baggage-member",
                                         "bad-baggage-member", "bad-baggage-member"));
  EXPECT_THAT(parsed.problems[0].text, testing::HasSubstr("`flag`"));
}

TEST(BaggageTest, KeepsBadEscapesAndReplacesWhatIsNoUtf8) {
  const ParsedHeaders parsed = ParseBaggage("a=%zz%4,b=x%FFy%ED%A0%80,c=+%2B");
  EXPECT_THAT(parsed.baggage->foreign,
              ElementsAre(Pair("a", "%zz%4"),
                          Pair("b", "x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"),
                          Pair("c", "++")));
  EXPECT_THAT(Codes(parsed), ElementsAre("bad-percent-escape", "invalid-utf8"));
}

TEST(BaggageTest, BadMetadataCostsNothingElse) {
  for (const std::string_view metadata : {"%7Bbroken", "", "%5B1%5D", "NaN", "1"}) {
    const ParsedHeaders parsed =
        ParseBaggage("langsmith-metadata=" + std::string(metadata) + ",langsmith-project=p");
    EXPECT_TRUE(parsed.baggage->metadata.empty());
    EXPECT_EQ(parsed.baggage->project, "p");
    EXPECT_THAT(Codes(parsed), ElementsAre("bad-metadata")) << metadata;
  }
}

TEST(BaggageTest, MetadataKeepsNumbersAsTheyWere) {
  const ParsedHeaders parsed = ParseBaggage("langsmith-metadata={\"i\":9223372036854775807;}");
  EXPECT_THAT(Codes(parsed), ElementsAre("bad-metadata")) << "cut at the property";
  TraceBaggage given;
  given.metadata = {{"int", 9223372036854775807},
                    {"unsigned", 18446744073709551615u},
                    {"double", 0.1 + 0.2},
                    {"small", 5e-324},
                    {"whole", 2.0}};
  EXPECT_EQ(ParseBaggage(EncodeBaggage(given)).baggage->metadata, given.metadata);
}

TEST(BaggageTest, MetadataNestedTooDeepIsBad) {
  std::string json;
  for (int i = 0; i < 2000; ++i) json += "{\"a\":";
  EXPECT_THAT(Codes(ParseBaggage("langsmith-metadata=" + json)), ElementsAre("bad-metadata"));
}

TEST(BaggageTest, LoneSurrogatesInMetadataAreReplaced) {
  const ParsedHeaders parsed =
      ParseBaggage(R"(langsmith-metadata={"a":"\ud800x\udc00\ud83d\ude00\\ud800\uD83D"})");
  EXPECT_EQ(parsed.baggage->metadata.at("a").as_string(),
            "\xEF\xBF\xBDx\xEF\xBF\xBD\xF0\x9F\x98\x80\\ud800\xEF\xBF\xBD");
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(BaggageTest, AProjectBeatsAnAddress) {
  const ParsedHeaders both = ParseBaggage(
      "langsmith-address=lrn%3Aagents%2Fplanner%2Fenvironments%2Fstaging,langsmith-project=p");
  EXPECT_EQ(both.baggage->project, "p");
  EXPECT_EQ(both.baggage->address, std::nullopt);
  EXPECT_THAT(Codes(both), ElementsAre("project-and-address"));
}

TEST(BaggageTest, AnAddressIsReadInItsCanonicalForm) {
  const ParsedHeaders parsed =
      ParseBaggage("langsmith-address=lrn%3Aagents%2Fa-1%2Fenvironments%2FProduction");
  EXPECT_EQ(parsed.baggage->address, "lrn:agents/a-1/environments/production");
  EXPECT_THAT(parsed.problems, IsEmpty());
}

TEST(BaggageTest, RefusesWhatIsNoAgentAddress) {
  const std::string long_id(64, 'a');
  for (const std::string& address :
       {std::string(), std::string("lrn:agents/a"), std::string("lrn:agents//environments/local"),
        std::string("lrn:agents/A/environments/local"),
        std::string("lrn:agents/1/environments/local"),
        std::string("lrn:agents/a-/environments/local"),
        std::string("lrn:agents/a/environments/prod"),
        std::string("lrn:agents/a/environments/local/x"), std::string("lrn:agents/a/b/local"),
        "lrn:agents/" + long_id + "/environments/local"}) {
    EXPECT_FALSE(NormalizeAgentAddress(address).has_value()) << address;
    EXPECT_THAT(Codes(ParseBaggage("langsmith-address=" + address)), ElementsAre("bad-address"));
  }
  EXPECT_TRUE(NormalizeAgentAddress("lrn:agents/" + long_id.substr(1) + "/environments/local"));
}

TEST(BaggageTest, ReplicasAreNeverFollowed) {
  EXPECT_THAT(Codes(ParseBaggage("langsmith-replicas=%5B%7B%22api_url%22%3A%22http%3A%2F%2F169.254."
                                 "169.254%22%7D%5D")),
              ElementsAre("replicas-ignored"));
}

TEST(BaggageTest, ProblemsAreBounded) {
  EXPECT_EQ(ParseBaggage(std::string(4000, 'x') +
                         [] {
                           std::string many;
                           for (int i = 0; i < 3000; ++i) many += ",x";
                           return many;
                         }())
                .problems.size(),
            100u);
}

TEST(TraceparentTest, IsReadByTheRecommendation) {
  const ParsedHeaders parsed = TraceHeaders{.traceparent = " " + std::string(kTraceparent)}.Parse();
  ASSERT_TRUE(parsed.traceparent.has_value());
  EXPECT_EQ(parsed.traceparent->trace_id[0], 0x4b);
  EXPECT_EQ(parsed.traceparent->span_id[7], 0xb7);
  EXPECT_TRUE(parsed.traceparent->sampled);
}

TEST(TraceparentTest, LaterVersionsMayBeLonger) {
  std::string later(kTraceparent);
  later.replace(0, 2, "cc");
  EXPECT_TRUE(TraceHeaders{.traceparent = later}.Parse().traceparent);
  EXPECT_TRUE(TraceHeaders{.traceparent = later + "-what-comes"}.Parse().traceparent);
  EXPECT_FALSE(TraceHeaders{.traceparent = later + ".x"}.Parse().traceparent);
}

class BadTraceparentTest : public testing::TestWithParam<std::string> {};

TEST_P(BadTraceparentTest, IsIgnoredWithAProblem) {
  const ParsedHeaders parsed = TraceHeaders{.traceparent = GetParam(), .tracestate = "a=1"}.Parse();
  EXPECT_FALSE(parsed.traceparent);
  EXPECT_FALSE(parsed.parent);
  EXPECT_EQ(parsed.baggage->tracestate, "");
  EXPECT_THAT(Codes(parsed), ElementsAre("bad-traceparent"));
}

INSTANTIATE_TEST_SUITE_P(
    Forms, BadTraceparentTest,
    testing::Values("x", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                    "0G-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                    "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01"));

TEST(TraceparentTest, TwiceIsNone) {
  TraceHeaders headers;
  headers.Add("traceparent", kTraceparent);
  headers.Add("traceparent", kTraceparent);
  const ParsedHeaders parsed = headers.Parse();
  EXPECT_FALSE(parsed.traceparent);
  EXPECT_THAT(Codes(parsed), ElementsAre("repeated-traceparent"));
}

TEST(TraceparentTest, AloneItNamesTheParent) {
  const ParsedHeaders parsed = TraceHeaders{.traceparent = std::string(kTraceparent)}.Parse();
  ASSERT_TRUE(parsed.parent);
  EXPECT_TRUE(parsed.parent_is_traceparent);
  EXPECT_EQ(parsed.parent.trace_id().ToString(), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736");
  EXPECT_EQ(parsed.parent.id().ToString(), "00000000-0000-0000-00f0-67aa0ba902b7");
  // Whoever reads the child's dotted order finds the same ids.
  const RunContext child =
      parsed.parent.Child(*RunId::Parse(kRoot.substr(22)), std::chrono::system_clock::now());
  const ParsedHeaders next = TraceHeaders::Of(child).Parse();
  EXPECT_EQ(next.parent.trace_id(), parsed.parent.trace_id());
  EXPECT_EQ(next.parent.parent_id(), parsed.parent.id());
}

TEST(TraceparentTest, GivesWayToLangsmithTrace) {
  const ParsedHeaders parsed =
      TraceHeaders{
          .langsmith_trace = Two(), .traceparent = std::string(kTraceparent), .tracestate = "a=1"}
          .Parse();
  EXPECT_EQ(parsed.parent.dotted_order(), Two());
  EXPECT_FALSE(parsed.parent_is_traceparent);
  EXPECT_EQ(parsed.baggage->tracestate, "a=1");
  EXPECT_THAT(Codes(parsed), ElementsAre("trace-id-mismatch"));
}

TEST(TraceparentTest, IsWhatOurOwnHeadersSay) {
  const ParsedHeaders parsed = TraceHeaders::Of(RunWith({})).Parse();
  EXPECT_THAT(parsed.problems, IsEmpty());
  EXPECT_EQ(parsed.traceparent->trace_id, parsed.parent.trace_id().bytes);
}

std::string Tracestate(std::string_view value) {
  return TraceHeaders{.traceparent = std::string(kTraceparent), .tracestate = std::string(value)}
      .Parse()
      .baggage->tracestate;
}

TEST(TracestateTest, PassesMembersOnInOrder) {
  EXPECT_EQ(Tracestate("a=1"), "a=1");
  EXPECT_EQ(Tracestate(" b=2 ,\ta@v=x:y , ,0c/_-*=1 "), "b=2,a@v=x:y,0c/_-*=1");
  EXPECT_EQ(Tracestate("a=" + std::string(256, 'v')).size(), 258u);
}

TEST(TracestateTest, OneMalformedMemberCostsAll) {
  for (const std::string_view bad : {"a", "=1", "A=1", "a=", "a=1=2", "a b=1", "a@=1", "@a=1",
                                     "a@b@c=1", "a=\x7f", "a=\xC3\xA9", "a=1\x01"}) {
    EXPECT_EQ(Tracestate("ok=1," + std::string(bad)), "") << bad;
  }
  EXPECT_EQ(Tracestate("a=" + std::string(257, 'v')), "");
  EXPECT_EQ(Tracestate(std::string(257, 'k') + "=1"), "");
}

TEST(TracestateTest, HoldsThirtyTwoMembersAtMost) {
  std::string many = "k0=1";
  for (int i = 1; i < 32; ++i) many += ",k" + std::to_string(i) + "=1";
  EXPECT_EQ(Tracestate(many), many);
  EXPECT_EQ(Tracestate(many + ",one=more"), "");
}

TEST(TraceHeadersTest, SaysWhatTheNextProcessNeeds) {
  TraceBaggage baggage;
  baggage.project = "checkout prod";
  baggage.tags = {"a,b", "c"};
  baggage.metadata = {{"user", "u-17"}, {"n", 2}};
  baggage.foreign = {{"userId", "al ice"}, {"no token", "x"}};
  baggage.tracestate = "v=1";
  const TraceHeaders headers = TraceHeaders::Of(RunWith(std::move(baggage)));
  EXPECT_EQ(headers.langsmith_trace, Two());
  EXPECT_EQ(headers.baggage,
            "langsmith-metadata=%7B%22user%22%3A%22u-17%22%2C%22n%22%3A2%7D,"
            "langsmith-tags=a%2Cb%2Cc,langsmith-project=checkout%20prod,userId=al%20ice");
  EXPECT_EQ(headers.traceparent, "00-01a0b35e7a0070008000000000000001-8000000000000002-01");
  EXPECT_EQ(headers.tracestate, "v=1");
}

TEST(TraceHeadersTest, OfNoRunIsEmpty) {
  const TraceHeaders headers = TraceHeaders::Of(RunContext());
  EXPECT_EQ(headers.langsmith_trace + headers.baggage + headers.traceparent, "");
}

TEST(TraceHeadersTest, AnUnsampledRunSaysSoInTraceparentOnly) {
  const TraceHeaders headers = TraceHeaders::Of(RunWith({}).WithSampled(false));
  EXPECT_EQ(headers.langsmith_trace, Two());
  EXPECT_TRUE(headers.traceparent.ends_with("-00")) << headers.traceparent;
}

TEST(TraceHeadersTest, AnAddressGoesOutWithoutAProjectOnly) {
  TraceBaggage baggage;
  baggage.address = "lrn:agents/planner/environments/Staging";
  EXPECT_EQ(EncodeBaggage(baggage),
            "langsmith-address=lrn%3Aagents%2Fplanner%2Fenvironments%2Fstaging");
  baggage.project = "p";
  EXPECT_EQ(EncodeBaggage(baggage), "langsmith-project=p");
  EXPECT_EQ(EncodeBaggage({.address = "garbage"}), "");
}

TEST(TraceHeadersTest, EncodesCharactersWhereverTheyStand) {
  // The encoder works in blocks.
  for (std::size_t size = 0; size < 200; ++size) {
    TraceBaggage baggage;
    baggage.project = std::string(size, '\xFF') + "\xF0\x9F\x98\x80";
    std::string expected;
    for (std::size_t i = 0; i < size; ++i) expected += "\xEF\xBF\xBD";
    EXPECT_EQ(ParseBaggage(EncodeBaggage(baggage)).baggage->project, expected + "\xF0\x9F\x98\x80");
  }
}

TEST(TraceHeadersTest, ValuesThatJsonCannotSayAreNull) {
  TraceBaggage baggage;
  baggage.metadata = {{"inf", std::numeric_limits<double>::infinity()},
                      {"nan", std::numeric_limits<double>::quiet_NaN()}};
  EXPECT_EQ(ParseBaggage(EncodeBaggage(baggage)).baggage->metadata,
            (JsonObject{{"inf", nullptr}, {"nan", nullptr}}));
}

TEST(TraceHeadersTest, GarbageInTracestateOfAProgramStaysHere) {
  EXPECT_EQ(TraceHeaders::Of(RunWith({.tracestate = "a=1\r\nx: y"})).tracestate, "");
}

TEST(LimitsTest, ATooLongTraceIsNoParent) {
  std::string deep(kRoot);
  while (deep.size() <= TraceHeaders::kMaxReceivedBytes) deep += "." + std::string(kChild);
  const TraceHeaders headers{.langsmith_trace = deep};
  EXPECT_FALSE(headers.Parse().parent);
  EXPECT_THAT(Codes(headers.Parse()), ElementsAre("headers-too-large"));
  EXPECT_TRUE(headers.Parse(deep.size()).parent);
}

TEST(LimitsTest, TooLongBaggageLosesWholeMembersAtItsEnd) {
  const TraceHeaders headers{.langsmith_trace = Two(), .baggage = "a=1,b=2,c=3"};
  const ParsedHeaders parsed = headers.Parse(Two().size() + 8);
  EXPECT_TRUE(parsed.parent);
  EXPECT_THAT(parsed.baggage->foreign, ElementsAre(Pair("a", "1"), Pair("b", "2")));
  EXPECT_THAT(Codes(parsed), ElementsAre("headers-too-large"));
  EXPECT_THAT(headers.Parse(Two().size()).baggage->foreign, IsEmpty());
  EXPECT_THAT(headers.Parse(Two().size() + 7).baggage->foreign.size(), 2u);
  EXPECT_THAT(headers.Parse(Two().size() + 11).problems, IsEmpty());
}

}  // namespace
}  // namespace weft
