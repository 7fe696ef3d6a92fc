// SPDX-License-Identifier: Apache-2.0
#include "run_view.h"

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

}  // namespace
}  // namespace weft::cli
