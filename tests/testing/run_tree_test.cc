// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/run_tree.h>

#include <memory>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/run_matchers.h>
#include <weft/testing/seeded_ids.h>
#include <weft/tracing/run.h>

namespace weft {
namespace testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunTree TreeOfThree() {
  const auto exporter = std::make_shared<InMemoryExporter>();
  const auto tracer = Tracer::Create({.exporters = {exporter}}).value();
  {
    Run root("root", {.tracer = tracer});
    { Run first("step"); }
    Run second("other");
    second.SetError("it broke\nin two lines");
  }
  return exporter->Tree();
}

TEST(RunTreeTest, PrintsWhoCalledWhom) {
  EXPECT_EQ(TreeOfThree().ToString(), "root\n  step\n  other !it broke\n");
}

TEST(RunTreeTest, FindsRunsAndTheirRelatives) {
  const RunTree tree = TreeOfThree();
  EXPECT_EQ(tree.size(), 3u);
  EXPECT_THAT(tree.FindRun("root"), IsRoot());
  EXPECT_THAT(tree.FindRun("step"), HasParent("root"));
  EXPECT_THAT(tree.FindRun("other"), HasError(HasSubstr("broke")));
  EXPECT_THAT(tree.FindRun("step"), HasNoError());
  EXPECT_EQ(tree.FindRun("root").Children().size(), 2u);
}

TEST(RunTreeTest, AcceptsNothingAboutARunThatIsNotThere) {
  const RunInTree missing = TreeOfThree().FindRun("nobody");
  EXPECT_FALSE(missing);
  EXPECT_THAT(missing, Not(IsRoot()));
  EXPECT_THAT(missing, Not(HasNoError()));
  EXPECT_THAT(missing, Not(HasTag("t")));
}

TEST(RunTreeTest, ShowsTheTreeWhenAMatcherFails) {
  std::ostringstream text;
  text << TreeOfThree().FindRun("step");
  EXPECT_EQ(text.str(), "\"step\" in the tree\n  root\n    step\n    other !it broke\n");
}

TEST(InMemoryExporterTest, WaitsForRunsThatHaveEnded) {
  InMemoryExporter exporter;
  EXPECT_FALSE(exporter.WaitFor(1, std::chrono::milliseconds(1)));
  RunRecord record;
  record.end = record.start;
  exporter.Export(std::move(record));
  EXPECT_TRUE(exporter.WaitFor(1));
}

TEST(SeededIdsTest, GivesTheSameIdsAgain) {
  const std::chrono::system_clock::time_point start(std::chrono::milliseconds(0x19b7c5a7a00));
  SeededIds a(5);
  SeededIds b(5);
  EXPECT_EQ(a.New(start).ToString(), "019b7c5a-7a00-7000-8005-000000000001");
  EXPECT_EQ(a.New(start).ToString(), "019b7c5a-7a00-7000-8005-000000000002");
  EXPECT_EQ(b.New(start).ToString(), "019b7c5a-7a00-7000-8005-000000000001");
}

}  // namespace
}  // namespace testing
}  // namespace weft
