// SPDX-License-Identifier: Apache-2.0
#include "root_lot.h"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include <weft/tracing/sampling.h>

namespace weft {
namespace {

using internal::RootLot;

class RootLotTest : public ::testing::TestWithParam<double> {
 protected:
  bool Sampled(const RunId& id) const { return SampledByTraceId(id, GetParam()); }

  const RootLot lot_ = RootLot::Of(GetParam()).value();
  const std::chrono::system_clock::time_point start_ = std::chrono::system_clock::now();
};
INSTANTIATE_TEST_SUITE_P(Rates, RootLotTest, ::testing::Values(1e-4, 0.003, 0.1, 0.5, 0.9));

// Six deviations: once in 10^9 runs.
void ExpectNear(double found, double expected, double deviation) {
  EXPECT_NEAR(found, expected, 6 * deviation);
}

TEST_P(RootLotTest, TheShareOfTheSampleIsTheRate) {
  constexpr int kRoots = 200'000;
  int sampled = 0;
  for (int i = 0; i < kRoots; ++i) {
    if (lot_.Cast() && Sampled(lot_.IdOfCast(start_))) ++sampled;
  }
  const double expected = kRoots * GetParam();
  ExpectNear(sampled, expected, std::sqrt(expected * (1 - GetParam())));
}

TEST_P(RootLotTest, IdsOutsideAreOutOfTheSample) {
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(Sampled(lot_.IdOutside(start_)));
}

TEST_P(RootLotTest, NoIdOfTheSampleIsPreferred) {
  constexpr int kIds = 300;
  double sum = 0;
  int sampled = 0;
  for (int i = 0; i < kIds; ++i) {
    const std::string id = lot_.IdOfCast(start_).ToString();
    if (!SampledByTraceId(id, GetParam())) continue;
    ++sampled;
    sum += SamplingBucket(id) / 1e6 / GetParam();
  }
  ASSERT_GT(sampled, 0);
  ExpectNear(sum / sampled, 0.5, std::sqrt(1.0 / 12 / sampled));
}

TEST(RootLotTest, FindsIdsOfCommonRates) {
  const RootLot lot = RootLot::Of(0.1).value();
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(SampledByTraceId(lot.IdOfCast(std::chrono::system_clock::now()), 0.1));
  }
}

TEST(RootLotTest, WhatIsNoRateIsNone) {
  for (const double rate : {0.0, -1.0, std::nan("")}) {
    const RootLot lot = RootLot::Of(rate).value();
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(lot.Cast());
    EXPECT_FALSE(lot.IdOutside(std::chrono::system_clock::now()).IsNil());
  }
  EXPECT_FALSE(RootLot::Of(1));
}

TEST(RootLotTest, ThinSamplesAreSought) {
  // One bucket of a million, of which 1,024 tries find one in a thousand lots.
  const RootLot lot = RootLot::Of(1e-9).value();
  int cast = 0;
  for (int i = 0; i < 1'000'000; ++i) cast += lot.Cast() ? 1 : 0;
  ExpectNear(cast, 1e6 / 1024, std::sqrt(1e6 / 1024));
}

}  // namespace
}  // namespace weft
