// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/sampling.h>

#include <chrono>
#include <limits>
#include <string_view>

#include <gtest/gtest.h>

namespace weft {
namespace {

constexpr std::string_view kId = "01a0b35e-7a00-7000-8000-000000000002";  // Bucket 425889.

TEST(SamplingTest, KeepsTracesWhoseBucketIsBelowTheRate) {
  EXPECT_EQ(SamplingBucket(kId), 425'889u);
  EXPECT_TRUE(SampledByTraceId(kId, 0.42589));
  EXPECT_FALSE(SampledByTraceId(kId, 0.425889));
}

TEST(SamplingTest, TheIdDecidesLikeItsText) {
  const RunId id = *RunId::Parse("01A0B35E-7A00-7000-8000-000000000002");
  EXPECT_TRUE(SampledByTraceId(id, 0.42589));
  EXPECT_FALSE(SampledByTraceId(id, 0.425889));
}

TEST(SamplingTest, RatesBeyondTheEndsAreTheEnds) {
  EXPECT_FALSE(SampledByTraceId(kId, 0));
  EXPECT_FALSE(SampledByTraceId(kId, -1));
  EXPECT_FALSE(SampledByTraceId(kId, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_TRUE(SampledByTraceId(kId, 1));
  EXPECT_TRUE(SampledByTraceId(kId, 2));
}

TEST(SamplingTest, HashesTextOfAnyLength) {
  // XXH3 takes other paths below 17, 129 and 241 bytes.
  const std::string text(500, 'x');
  for (const std::size_t size : {0u, 1u, 16u, 17u, 128u, 129u, 240u, 241u, 500u}) {
    const std::string_view part = std::string_view(text).substr(0, size);
    EXPECT_LT(SamplingBucket(part), 1'000'000u);
    EXPECT_EQ(SamplingBucket(part), SamplingBucket(std::string(part)));
  }
}

TEST(SamplingTest, KeepsAboutTheShareThatWasAskedFor) {
  const auto start = std::chrono::system_clock::time_point(std::chrono::seconds(1'789'000'000));
  int kept = 0;
  for (int i = 0; i < 20'000; ++i) kept += SampledByTraceId(RunId::New(start), 0.25) ? 1 : 0;
  EXPECT_GT(kept, 4'500);
  EXPECT_LT(kept, 5'500);
}

}  // namespace
}  // namespace weft
