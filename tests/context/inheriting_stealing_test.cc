// SPDX-License-Identifier: Apache-2.0
#include <weft/context/inheriting.h>

#include <gtest/gtest.h>

#include <boost/fiber/algo/work_stealing.hpp>

#include "fiber_stress.h"

namespace weft {
namespace {

// In a program of its own: work_stealing can be set up once in a process.
TEST(InheritingStealingTest, RawFibersInheritAndKeepTheirExceptionsWhenTheyAreStolen) {
  const auto result =
      testing::FiberStress<testing::InheritingStore>::RunUntilMoved(3, 100, [](int threads) {
        boost::fibers::use_scheduling_algorithm<Inheriting<boost::fibers::algo::work_stealing>>(
            static_cast<std::uint32_t>(threads), false);
      });
  testing::ExpectCleanAndMigrated(result);
  EXPECT_GT(result.migrations_in_handlers, 0);
}

}  // namespace
}  // namespace weft
