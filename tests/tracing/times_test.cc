// SPDX-License-Identifier: Apache-2.0
#include "times.h"

#include <chrono>

#include <gtest/gtest.h>

namespace weft {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

TEST(ReadClocksTest, SaysTheTimeOfBothClocks) {
  constexpr std::chrono::microseconds kApart{10};
  const auto until = steady_clock::now() + std::chrono::milliseconds(50);
  steady_clock::time_point last;
  while (last < until) {
    const auto wall = system_clock::now();
    const auto steady = steady_clock::now();
    const internal::Times times = internal::ReadClocks();
    EXPECT_GE(times.steady, steady);
    EXPECT_LE(times.steady, steady_clock::now());
    EXPECT_GE(times.wall, wall - kApart);
    EXPECT_LE(times.wall, system_clock::now() + kApart);
    EXPECT_GE(times.steady, last);
    last = times.steady;
  }
}

}  // namespace
}  // namespace weft
