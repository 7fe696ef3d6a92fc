// SPDX-License-Identifier: Apache-2.0
#include "usage.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;

using Tokens = std::optional<std::int64_t>;

RunView MakeRun(const std::string& id, const std::string& parent, Tokens input = {}) {
  RunView run;
  run.id = id;
  run.parent_id = parent;
  run.trace_id = "trace";
  run.input_tokens = input;
  return run;
}

RunView InService(RunView run, const std::string& service) {
  run.service = service;
  return run;
}

std::vector<std::pair<std::string, Tokens>> InputBy(UsageKey key,
                                                    const std::vector<RunView>& runs) {
  UsageSums sums(key, CountedRuns::kLeaves);
  sums.Add(runs);
  std::vector<std::pair<std::string, Tokens>> found;
  for (const UsageGroup& group : sums.Groups()) {
    found.emplace_back(group.key, group.usage.input_tokens);
  }
  return found;
}

TEST(UsageTest, LeavesCountOnceWhateverTheirCallersRepeat) {
  // The root and the agent repeat what is below them; the run between them says nothing.
  const std::vector<RunView> runs = {MakeRun("root", "", 30),     MakeRun("agent", "root", 30),
                                     MakeRun("step", "agent"),    MakeRun("one", "step", 10),
                                     MakeRun("two", "agent", 20), MakeRun("other", "gone", 5)};
  const Usage leaves = AddUp(runs, CountedRuns::kLeaves);
  EXPECT_EQ(leaves.input_tokens, 35);
  EXPECT_EQ(leaves.output_tokens, std::nullopt);
  EXPECT_EQ(leaves.runs, 3u);
  EXPECT_EQ(AddUp(runs, CountedRuns::kAll).input_tokens, 95);
}

TEST(UsageTest, ParentsOnACycleComeToAnEnd) {
  const std::vector<RunView> runs = {InService(MakeRun("a", "b", 1), "x"), MakeRun("b", "c", 1),
                                     MakeRun("c", "a", 1), MakeRun("self", "self", 1)};
  EXPECT_EQ(AddUp(runs, CountedRuns::kAll).input_tokens, 4);
  EXPECT_EQ(AddUp(runs, CountedRuns::kLeaves).input_tokens, 2);
  EXPECT_THAT(InputBy(UsageKey::kUser, runs), ElementsAre(Pair("", 2)));
}

TEST(UsageTest, SumsStopAtTheBorder) {
  using Limits = std::numeric_limits<std::int64_t>;
  Usage sum{.input_tokens = Limits::max(), .output_tokens = Limits::min()};
  sum.Add({.input_tokens = 1, .output_tokens = -1});
  EXPECT_EQ(sum.input_tokens, Limits::max());
  EXPECT_EQ(sum.output_tokens, Limits::min());
}

TEST(UsageTest, WhoTheUserIsSaysTheRunOrTheNearestThatCalledIt) {
  std::vector<RunView> runs = {MakeRun("root", ""), MakeRun("one", "root", 1),
                               MakeRun("two", "root"), MakeRun("three", "two", 4),
                               MakeRun("stranger", "", 16)};
  runs[0].user = "ann";
  runs[2].user = "bob";
  runs[0].workflow = "support";
  runs[1].thread = "t-1";
  runs[3].model = "gpt-4o-mini";
  EXPECT_THAT(InputBy(UsageKey::kUser, runs),
              ElementsAre(Pair("", 16), Pair("bob", 4), Pair("ann", 1)));
  EXPECT_THAT(InputBy(UsageKey::kWorkflow, runs), ElementsAre(Pair("", 16), Pair("support", 5)));
  EXPECT_THAT(InputBy(UsageKey::kThread, runs), ElementsAre(Pair("", 20), Pair("t-1", 1)));
  EXPECT_THAT(InputBy(UsageKey::kModel, runs), ElementsAre(Pair("", 17), Pair("gpt-4o-mini", 4)));
  EXPECT_THAT(InputBy(UsageKey::kTrace, runs), ElementsAre(Pair("trace", 21)));
}

TEST(UsageTest, AnEdgeGoesFromTheServiceThatCalledToTheOneThatWorked) {
  const std::vector<RunView> runs = {InService(MakeRun("root", ""), "gateway"),
                                     InService(MakeRun("call", "root"), "gateway"),
                                     InService(MakeRun("handler", "call"), "planner"),
                                     MakeRun("model", "handler", 4),
                                     InService(MakeRun("own", "root", 1), "gateway"),
                                     MakeRun("unnamed", "", 2)};
  EXPECT_THAT(InputBy(UsageKey::kEdge, runs),
              ElementsAre(Pair("gateway > planner", 4), Pair("> ", 2), Pair("> gateway", 1)));
  EXPECT_THAT(InputBy(UsageKey::kService, runs),
              ElementsAre(Pair("planner", 4), Pair("", 2), Pair("gateway", 1)));
}

TEST(UsageTest, TheDearestComesFirstOverAllTraces) {
  UsageSums sums(UsageKey::kModel, CountedRuns::kLeaves);
  for (const double cost : {0.25, 0.5}) {
    RunView small = MakeRun("small", "", 1000);
    small.model = "small";
    RunView large = MakeRun("large", "", 10);
    large.model = "large";
    large.cost = cost;
    sums.Add(std::vector<RunView>{small, large});
  }
  const std::vector<UsageGroup> groups = sums.Groups();
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].key, "large");
  EXPECT_THAT(groups[0].usage.cost, Optional(DoubleEq(0.75)));
  EXPECT_EQ(groups[0].usage.runs, 2u);
  EXPECT_EQ(groups[1].usage.cost, std::nullopt);
}

TEST(UsageTest, WrongValuesAreNamedWithTheRightOnes) {
  EXPECT_THAT(std::string(ParseUsageKey("who").status().message()),
              HasSubstr("--by: 'who' is none of trace, user, workflow"));
  EXPECT_THAT(std::string(ParseCountedRuns("").status().message()),
              HasSubstr("--count: '' is none of leaves, all"));
}

}  // namespace
}  // namespace weft::cli
