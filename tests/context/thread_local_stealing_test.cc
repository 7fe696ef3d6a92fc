// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/fiber/algo/work_stealing.hpp>

#include "fiber_stress.h"

namespace weft {
namespace {

// In a program of its own: work_stealing can be set up once in a process.
TEST(ThreadLocalStealingTest, AThreadLocalVariableFailsUnderWorkStealing) {
  const auto result =
      testing::FiberStress<testing::ThreadLocalStore>::RunUntilMoved(3, 40, [](int threads) {
        boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(
            static_cast<std::uint32_t>(threads), false);
      });
  EXPECT_GT(result.wrong, 100);
  EXPECT_GT(result.migrations, 0);
}

}  // namespace
}  // namespace weft
