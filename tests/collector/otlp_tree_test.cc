// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_tree.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "otlp_support.h"
#include "utc_time.h"

namespace weft::collector {
namespace {

constexpr char kNamed[] = "01990000-0000-7000-8000-000000000001";
constexpr char kNamedChild[] = "01990000-0000-7000-8000-000000000002";

SpanIds Span(std::uint64_t number, std::uint64_t parent, std::string_view trace = kOtelTrace) {
  TraceRequest request;
  return ReadSpanIds(AddSpan(request, number, parent, trace)->SerializeAsString());
}

SpanIds SpanWith(std::uint64_t number, std::uint64_t parent,
                 std::initializer_list<std::pair<const char*, std::string>> attributes) {
  TraceRequest request;
  OtelSpan* const span = AddSpan(request, number, parent);
  for (const auto& [key, value] : attributes) SetText(*span, key, value);
  return ReadSpanIds(span->SerializeAsString());
}

std::string Time(int microseconds) {
  return "20260921T14132000000" + std::to_string(microseconds) + "Z";
}

TEST(SpanTreeTest, SettlesATraceWhateverCameFirst) {
  std::vector<SpanIds> spans = {Span(1, 0), Span(2, 1), Span(3, 2)};
  const std::string root = Time(1) + kOtelTraceId;
  const std::string child = root + "." + Time(2) + "00000000-0000-0000-0000-000000000002";
  std::vector<std::size_t> order = {0, 1, 2};
  do {
    SpanTree tree;
    for (const std::size_t i : order) tree.AddSpan(spans[i]);
    tree.Settle();
    EXPECT_EQ(tree.PlaceOf(spans[0]).dotted_order, root);
    EXPECT_TRUE(tree.PlaceOf(spans[0]).parent_run_id.IsNil());
    EXPECT_EQ(tree.PlaceOf(spans[1]).dotted_order, child);
    EXPECT_EQ(tree.PlaceOf(spans[1]).parent_run_id.ToString(), kOtelTraceId);
    EXPECT_EQ(tree.PlaceOf(spans[2]).dotted_order,
              child + "." + Time(3) + "00000000-0000-0000-0000-000000000003");
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(SpanTreeTest, APlaceIsCompleteOnceAllAncestorsAreKnown) {
  const SpanIds root = Span(1, 0), child = Span(2, 1), grandchild = Span(3, 2);
  SpanTree tree;
  tree.AddSpan(grandchild);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(grandchild).dotted_order, "");
  EXPECT_EQ(tree.PlaceOf(grandchild).parent_run_id, PaddedRunId(2));
  tree.AddSpan(root);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(grandchild).dotted_order, "");
  EXPECT_NE(tree.PlaceOf(root).dotted_order, "");
  tree.AddSpan(child);
  tree.Settle();
  EXPECT_NE(tree.PlaceOf(grandchild).dotted_order, "");
}

TEST(SpanTreeTest, ANamedRootTakesItsTraceAlong) {
  const SpanIds root = SpanWith(1, 0, {{"langsmith.span.id", kNamed}});
  const SpanIds child = Span(2, 1), grandchild = Span(3, 2);
  SpanTree tree;
  for (const SpanIds& span : {grandchild, child, root}) tree.AddSpan(span);
  tree.Settle();
  for (const SpanIds& span : {root, child, grandchild}) {
    EXPECT_EQ(tree.PlaceOf(span).trace_id.ToString(), kNamed);
    EXPECT_EQ(tree.PlaceOf(span).dotted_order.substr(0, 58), Time(1) + kNamed);
  }
  EXPECT_EQ(tree.PlaceOf(child).parent_run_id.ToString(), kNamed);
}

TEST(SpanTreeTest, ChildrenThatNameASpanFindARunOfAnotherId) {
  const SpanIds root =
      SpanWith(1, 0, {{"langsmith.trace.id", kNamed}, {"langsmith.span.id", kNamed}});
  const SpanIds named = SpanWith(2, 1,
                                 {{"langsmith.trace.id", kNamed},
                                  {"langsmith.span.id", kNamedChild},
                                  {"langsmith.span.parent_id", kNamed}});
  const SpanIds plain = Span(3, 2);
  SpanTree tree;
  for (const SpanIds& span : {plain, named, root}) tree.AddSpan(span);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(plain).parent_run_id.ToString(), kNamedChild);
  EXPECT_EQ(tree.PlaceOf(plain).trace_id.ToString(), kNamed);
  EXPECT_NE(tree.PlaceOf(plain).dotted_order.find(kNamedChild), std::string::npos);
}

TEST(SpanTreeTest, AParentNamedByItsSpanIdIsFoundWhateverItsRunIdIs) {
  const SpanIds root = Span(1, 0);
  const SpanIds child = SpanWith(2, 1, {{"langsmith.span.parent_id", PaddedRunId(1).ToString()}});
  const SpanIds below = SpanWith(3, 2, {{"langsmith.span.parent_id", PaddedRunId(2).ToString()}});
  SpanTree tree;
  for (const SpanIds& span : {below, child, root}) tree.AddSpan(span);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(child).parent_run_id.ToString(), kOtelTraceId);
  EXPECT_EQ(tree.PlaceOf(below).parent_run_id, PaddedRunId(2));
  EXPECT_NE(tree.PlaceOf(below).dotted_order, "");
}

TEST(SpanTreeTest, ATraceableParentStandsInForOneThatNeverCame) {
  const SpanIds root = Span(1, 0);
  const SpanIds child =
      SpanWith(3, 99, {{"langsmith.traceable_parent_otel_span_id", "0000000000000001"}});
  SpanTree tree;
  tree.AddSpan(child);
  tree.AddSpan(root);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(child).parent_run_id.ToString(), kOtelTraceId);
  EXPECT_NE(tree.PlaceOf(child).dotted_order, "");
}

TEST(SpanTreeTest, OfSeveralRootsTheOthersAreChildren) {
  const SpanIds first = Span(1, 0), second = Span(2, 0), below = Span(3, 2);
  SpanTree tree;
  for (const SpanIds& span : {first, second, below}) tree.AddSpan(span);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(first).run_id.ToString(), kOtelTraceId);
  EXPECT_EQ(tree.PlaceOf(second).run_id, PaddedRunId(2));
  EXPECT_EQ(tree.PlaceOf(second).parent_run_id.ToString(), kOtelTraceId);
  EXPECT_EQ(tree.PlaceOf(below).parent_run_id, PaddedRunId(2));
}

TEST(SpanTreeTest, ASpanMayBeTheChildOfARun) {
  RunPlace run;
  run.run_id = RunIdOf(kNamedChild);
  run.trace_id = RunIdOf(kOtelTraceId);
  run.parent_run_id = run.trace_id;
  run.dotted_order = Time(1) + kOtelTraceId + "." + Time(2) + kNamedChild;
  // traceparent has the last eight bytes of the run's id.
  const SpanIds child = Span(7, 0x8000'0000'0000'0002);
  SpanTree tree;
  tree.AddSpan(child);
  tree.AddRun(run);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(child).parent_run_id, run.run_id);
  EXPECT_EQ(tree.PlaceOf(child).dotted_order,
            run.dotted_order + "." + Time(7) + "00000000-0000-0000-0000-000000000007");
}

TEST(SpanTreeTest, AClockThatIsBehindDoesNotBreakTheOrder) {
  const SpanIds root = Span(5, 0), child = Span(2, 5);
  SpanTree tree;
  tree.AddSpan(root);
  tree.AddSpan(child);
  tree.Settle();
  EXPECT_FALSE(tree.PlaceOf(root).clock_fixed);
  EXPECT_TRUE(tree.PlaceOf(child).clock_fixed);
  EXPECT_EQ(tree.PlaceOf(child).dotted_order, tree.PlaceOf(root).dotted_order + "." + Time(5) +
                                                  "00000000-0000-0000-0000-000000000002");
}

TEST(SpanTreeTest, SpansInACircleHaveNoPlaceAndEndNothing) {
  const SpanIds a = Span(1, 2), b = Span(2, 1), self = Span(3, 3);
  SpanTree tree;
  for (const SpanIds& span : {a, b, self}) tree.AddSpan(span);
  tree.Settle();
  for (const SpanIds& span : {a, b, self}) EXPECT_EQ(tree.PlaceOf(span).dotted_order, "");
}

TEST(SpanTreeTest, ALongChainTakesBoundedMemory) {
  SpanTree tree;
  for (std::uint64_t i = 5000; i > 0; --i) tree.AddSpan(Span(i, i - 1));
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(Span(500, 499)).dotted_order.size(), 500 * 59 - 1);
  EXPECT_EQ(tree.PlaceOf(Span(5000, 4999)).dotted_order, "");
  EXPECT_EQ(tree.PlaceOf(Span(5000, 4999)).parent_run_id, PaddedRunId(4999));
}

TEST(SpanTreeTest, TheSameSpanIdInAnotherTraceIsAnotherSpan) {
  const std::string other(16, 'o');
  const SpanIds root = Span(1, 0), child = Span(2, 1), other_root = Span(1, 0, other);
  SpanTree tree;
  for (const SpanIds& span : {child, other_root}) tree.AddSpan(span);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(child).dotted_order, "");
  tree.AddSpan(root);
  tree.Settle();
  EXPECT_EQ(tree.PlaceOf(child).parent_run_id.ToString(), kOtelTraceId);
}

TEST(UtcTimeTest, WritesEveryTimeThatHasFourDigitsOfAYear) {
  const std::pair<std::int64_t, std::string> times[] = {
      {0, "1970-01-01T00:00:00.000000Z"},
      {-1, "1969-12-31T23:59:59.999999Z"},
      {951'782'399'999'999, "2000-02-28T23:59:59.999999Z"},
      {951'782'400'000'000, "2000-02-29T00:00:00.000000Z"},
      {1'788'999'999'012'345, "2026-09-10T00:26:39.012345Z"},
      {std::numeric_limits<std::int64_t>::min(), "0001-01-01T00:00:00.000000Z"},
      {std::numeric_limits<std::int64_t>::max(), "9999-12-31T23:59:59.999999Z"}};
  for (const auto& [time, text] : times) {
    const auto iso = IsoTimeText(time);
    EXPECT_EQ(std::string(iso.data(), iso.size()), text);
    std::string digits = text;
    std::erase_if(digits, [](char c) { return c == '-' || c == ':' || c == '.'; });
    EXPECT_EQ(TimeOfPart(time), digits);
  }
}

}  // namespace
}  // namespace weft::collector
