// SPDX-License-Identifier: Apache-2.0
#include "run_view.h"

#include <string>

#include <gtest/gtest.h>
#include <boost/json.hpp>

namespace weft::cli {
namespace {

absl::StatusOr<RunView> Read(const char* json) { return ReadRun(boost::json::parse(json)); }

TEST(RunViewTest, ShowsWhateverStandsForAText) {
  const auto run = Read(R"({"id": "a", "name": 18446744073709551615, "session_name": -7,
                            "status": ["x"], "error": {}})");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->name, "18446744073709551615");
  EXPECT_EQ(run->project, "-7");
  EXPECT_EQ(run->status, "");
}

TEST(RunViewTest, TakesTimesThatCanBeSubtracted) {
  const auto run = Read(R"({"id": "a", "start_time": "2026-01-02T03:04:05.000001Z",
                            "end_time": "2026-01-02T03:04:06Z"})");
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->DurationUs(), 999'999);
  for (const char* end : {"infinite-future", "292277026596-01-01T00:00:00Z", "x"}) {
    const auto odd = ReadRun({{"id", "a"}, {"start_time", "infinite-past"}, {"end_time", end}});
    ASSERT_TRUE(odd.ok()) << odd.status();
    EXPECT_EQ(odd->start_us, std::nullopt);
    EXPECT_EQ(odd->end_us, std::nullopt) << end;
  }
}

TEST(RunViewTest, TakesTheCostFromTheRunBeforeLangSmithsSums) {
  const auto cost = [](const char* json) { return Read(json)->cost; };
  EXPECT_EQ(cost(R"({"id": "a", "total_cost": "0.5", "extra": {"metadata": {"usage_metadata": {
                     "input_cost": 0.25, "output_cost": 0.125}}}})"),
            0.375);
  EXPECT_EQ(cost(R"({"id": "a", "outputs": {"usage_metadata": {"total_cost": 2}}})"), 2.0);
  EXPECT_EQ(cost(R"({"id": "a", "total_cost": "0.5"})"), 0.5);
  EXPECT_EQ(cost(R"({"id": "a", "prompt_cost": "0.5", "completion_cost": 1})"), 1.5);
  for (const char* other : {"null", "\"inf\"", "\"x\"", "{}", "[1]"}) {
    EXPECT_EQ(cost((R"({"id": "a", "total_cost": )" + std::string(other) + "}").c_str()),
              std::nullopt)
        << other;
  }
}

TEST(RunViewTest, KnowsEveryNameOfAThread) {
  for (const char* key : {"thread_id", "session_id", "conversation_id"}) {
    const auto run =
        ReadRun({{"id", "a"}, {"extra", {{"metadata", {{key, "t-1"}, {"user_id", 7}}}}}});
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_EQ(run->thread, "t-1");
    EXPECT_EQ(run->user, "7");
  }
}

}  // namespace
}  // namespace weft::cli
