// SPDX-License-Identifier: Apache-2.0
#include "loss_report.h"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft {
namespace {

using internal::LossReport;
using internal::OneLine;
using std::chrono::hours;
using std::chrono::seconds;
using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

std::string Said(LossReport& report, const ExporterStats& stats,
                 LossReport::Clock::time_point now) {
  CaptureStderr();
  report.Say(stats, now);
  return GetCapturedStderr();
}

TEST(LossReportTest, SaysWhatWasLostOnceAMinuteAtMost) {
  const LossReport::Clock::time_point start{hours(1)};
  LossReport report("the target");
  report.set_last_answer("503: busy");
  ExporterStats stats{.queued = 9, .acknowledged = 5};
  EXPECT_TRUE(report.IsDue(start));
  EXPECT_EQ(Said(report, stats, start), "");
  EXPECT_TRUE(report.IsDue(start));
  stats.dropped_queue_full = 3;
  stats.dropped_rejected = 1;
  EXPECT_EQ(
      Said(report, stats, start),
      "weft: runs lost on the way to the target so far: 4 (queue full 3, rejected 1, expired 0); "
      "last answer: 503: busy\n");
  EXPECT_FALSE(report.IsDue(start + seconds(59)));
  EXPECT_TRUE(report.IsDue(start + seconds(60)));
  EXPECT_EQ(Said(report, stats, start + seconds(60)), "");
  stats.dropped_expired = 1;
  EXPECT_THAT(Said(report, stats, start + seconds(61)), ::testing::HasSubstr("so far: 5 ("));
}

TEST(LossReportTest, WhatATargetSaysIsOneShortLineForATerminal) {
  EXPECT_EQ(OneLine("503", ""), "503");
  EXPECT_EQ(OneLine("503", "two\nlines\x1b[31m\xff"), "503: two?lines?[31m?");
  EXPECT_EQ(OneLine("", std::string(1000, 'x')), ": " + std::string(200, 'x'));
}

}  // namespace
}  // namespace weft
