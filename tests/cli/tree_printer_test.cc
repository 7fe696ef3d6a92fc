// SPDX-License-Identifier: Apache-2.0
#include "tree_printer.h"

#include <clocale>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text.h"

namespace weft::cli {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

RunView MakeRun(const std::string& id, const std::string& parent, std::int64_t start_us) {
  RunView run;
  run.id = id;
  run.trace_id = "trace";
  run.parent_id = parent;
  run.name = "run-" + id;
  run.run_type = "chain";
  run.status = "success";
  run.start_us = start_us;
  run.end_us = start_us + 1500;
  return run;
}

/// a -> (b -> d, c), with the children out of order.
std::vector<RunView> SmallTree() {
  return {MakeRun("c", "a", 300), MakeRun("a", "", 100), MakeRun("d", "b", 250),
          MakeRun("b", "a", 200)};
}

std::vector<std::string> Print(const std::vector<RunView>& runs, const Style& style = {}) {
  std::ostringstream out;
  PrintTree(runs, style, out);
  std::vector<std::string> lines;
  std::istringstream in(out.str());
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class TreePrinterTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
};

TEST_F(TreePrinterTest, PutsChildrenBelowTheirParentInTheOrderOfTheirStart) {
  const std::vector<std::string> lines = Print(SmallTree());
  ASSERT_EQ(lines.size(), 8u);
  EXPECT_THAT(lines[1], StartsWith("4 runs"));
  EXPECT_THAT(lines[4], StartsWith("run-a "));
  EXPECT_THAT(lines[5], StartsWith("├─ run-b "));
  EXPECT_THAT(lines[6], StartsWith("│  └─ run-d "));
  EXPECT_THAT(lines[7], StartsWith("└─ run-c "));
}

TEST_F(TreePrinterTest, SumsOfTokensStopAtTheBorder) {
  std::vector<RunView> runs = SmallTree();
  runs[0].input_tokens = runs[2].input_tokens = std::numeric_limits<std::int64_t>::max();
  runs[0].output_tokens = runs[2].output_tokens = std::numeric_limits<std::int64_t>::min();
  EXPECT_THAT(Print(runs)[1], HasSubstr("tokens 9,223,372,036,854,775,807 in "
                                        "-9,223,372,036,854,775,808 out"));
}

TEST_F(TreePrinterTest, ShowsCostWhereSomebodySaysIt) {
  std::vector<RunView> runs = SmallTree();
  EXPECT_THAT(Print(runs), Each(Not(HasSubstr("COST"))));
  runs[2].cost = 0.0123;  // d, below b
  runs[3].cost = 0.0123;
  const std::vector<std::string> lines = Print(runs);
  EXPECT_THAT(lines[1], HasSubstr("cost $0.0123"));
  EXPECT_THAT(lines[3], HasSubstr("COST"));
  EXPECT_THAT(lines[5], HasSubstr("$0.0123"));
  std::ostringstream all;
  PrintTree(runs, {}, all, CountedRuns::kAll);
  EXPECT_THAT(all.str(), HasSubstr("cost $0.0246"));
}

TEST_F(TreePrinterTest, ShowsTimesStatusAndTokens) {
  std::vector<RunView> runs = SmallTree();
  runs[2].input_tokens = 1204;
  runs[2].output_tokens = 96;
  const std::vector<std::string> lines = Print(runs);
  EXPECT_THAT(lines[6], AllOf(HasSubstr("150 us"), HasSubstr("1.50 ms"), HasSubstr("1,204 > 96"),
                              HasSubstr("success")));
  EXPECT_THAT(lines[1], HasSubstr("tokens 1,204 in 96 out"));
}

TEST_F(TreePrinterTest, CountsTokensThatAParentRepeatsOnce) {
  std::vector<RunView> runs = SmallTree();
  for (RunView& run : runs) {
    if (run.id == "d" || run.id == "a") run.input_tokens = 10;
  }
  EXPECT_THAT(Print(runs)[1], HasSubstr("tokens 10 in 0 out"));
}

TEST_F(TreePrinterTest, SaysWhereARunLostItsParent) {
  std::vector<RunView> runs = SmallTree();
  runs[1].lost_method = "shop.Cart/Add";
  runs[1].lost_source = "cart.cc:12";
  runs[0].error = "late";
  runs[0].lost_method = "a/B";
  const std::vector<std::string> lines = Print(runs);
  EXPECT_THAT(
      lines, Contains(HasSubstr("lost its parent while shop.Cart/Add was handled, at cart.cc:12")));
  EXPECT_THAT(lines, Contains(HasSubstr("late; lost its parent while a/B was handled")));
}

TEST_F(TreePrinterTest, ShowsTheFirstLineOfAnErrorBelowTheRun) {
  std::vector<RunView> runs = SmallTree();
  runs[2].status = "error";
  runs[2].error = "ValueError('no')\nTraceback ...";
  const std::vector<std::string> lines = Print(runs);
  EXPECT_THAT(lines[6], HasSubstr("error"));
  EXPECT_EQ(lines[7], "│     ValueError('no')");
  EXPECT_THAT(lines, Each(Not(HasSubstr("Traceback"))));
}

TEST_F(TreePrinterTest, SaysWhichSideOfACallARunIs) {
  std::vector<RunView> runs = SmallTree();
  runs[1].otel_kind = "CLIENT";
  runs[1].rpc_method = "Ask";
  runs[1].rpc_kind = "unary";
  runs[3].otel_kind = "SERVER";
  runs[3].rpc_method = "Ask";
  runs[3].server_api = "callback";
  const std::vector<std::string> lines = Print(runs);
  EXPECT_THAT(lines[4], HasSubstr("client unary"));
  EXPECT_THAT(lines[5], HasSubstr("server callback"));
}

TEST_F(TreePrinterTest, ShowsRunsWithoutTheirParentAtTheTop) {
  const std::vector<std::string> lines = Print({MakeRun("b", "lost", 0)});
  EXPECT_THAT(lines[4], StartsWith("run-b"));
}

TEST_F(TreePrinterTest, ShowsRunsOnACycleOnce) {
  const std::vector<std::string> lines = Print({MakeRun("a", "b", 0), MakeRun("b", "a", 1)});
  EXPECT_EQ(lines.size(), 6u);
}

TEST_F(TreePrinterTest, ShowsAChainOfThousandsWithoutGrowingForEver) {
  std::vector<RunView> runs{MakeRun("0", "", 0)};
  for (int i = 1; i < 20'000; ++i) {
    runs.push_back(MakeRun(std::to_string(i), std::to_string(i - 1), i));
  }
  const std::vector<std::string> lines = Print(runs);
  ASSERT_EQ(lines.size(), 20'004u);
  EXPECT_LT(lines.back().size(), 400u);
}

TEST_F(TreePrinterTest, FitsEveryLineIntoTheTerminal) {
  std::vector<RunView> runs = SmallTree();
  for (RunView& run : runs) {
    run.name = "research_team.v1.Summariser/Summarise-世界-" + run.id;
    run.service = "summariser";
    run.error = std::string(300, 'x');
    run.status = "error";
  }
  for (const std::size_t width : {40u, 60u, 80u, 120u, 200u}) {
    for (std::string line :
         Print(runs, {.colour = false, .unicode = true, .terminal = true, .width = width})) {
      if (line.starts_with("trace ") || line.starts_with("4 runs")) continue;
      EXPECT_LE(DisplayWidth(line), width) << line;
    }
  }
}

TEST_F(TreePrinterTest, UsesAsciiWhereTheTerminalKnowsNothingElse) {
  for (const std::string& line :
       Print(SmallTree(), {.colour = false, .unicode = false, .terminal = true, .width = 80})) {
    for (const char c : line) EXPECT_LT(static_cast<unsigned char>(c), 0x80) << line;
  }
}

TEST_F(TreePrinterTest, LeavesThePackageOfAMethodOutOnATerminal) {
  RunView run = MakeRun("a", "", 0);
  run.name = "team.v1.Gateway/Ask";
  run.rpc_service = "team.v1.Gateway";
  run.rpc_method = "Ask";
  run.otel_kind = "CLIENT";
  EXPECT_THAT(Print({run})[4], StartsWith("team.v1.Gateway/Ask "));
  Style terminal;
  terminal.terminal = true;
  EXPECT_THAT(Print({run}, terminal)[4], StartsWith("Gateway/Ask "));
}

TEST_F(TreePrinterTest, ColoursOnlyWhenAsked) {
  Style style;
  EXPECT_THAT(Print(SmallTree(), style), Each(Not(HasSubstr("\x1b"))));
  style.colour = true;
  EXPECT_THAT(Print(SmallTree(), style)[4], HasSubstr("\x1b[32msuccess\x1b[0m"));
}

TEST_F(TreePrinterTest, EscapesWhatOthersNamed) {
  RunView run = MakeRun("a", "", 0);
  run.name = "evil\x1b]0;title\x07";
  run.service = "s\x1b[2J";
  run.project = "p\x1b[2J";
  run.error = "e\x1b[2J";
  run.status = "error\x1b[2J";
  run.run_type = "tool\x1b[2J";
  EXPECT_THAT(Print({run}), Each(Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace weft::cli
