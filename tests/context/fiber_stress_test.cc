// SPDX-License-Identifier: Apache-2.0
// Fibers that stay on their thread, which ThreadSanitizer can follow.
#include "fiber_stress.h"

#include <gtest/gtest.h>

#include <boost/fiber/algo/round_robin.hpp>

#include <weft/context/inheriting.h>

namespace weft {
namespace {

namespace algo = boost::fibers::algo;
using testing::ByPriority;
using testing::ExpectClean;
using testing::FiberStress;
using testing::InheritingStore;
using testing::ThreadLocalStore;
using testing::WeftStore;
using testing::WithPriorities;

template <typename Algorithm>
constexpr auto kUse = [](int) { boost::fibers::use_scheduling_algorithm<Algorithm>(); };

TEST(FiberStressTest, AThreadLocalVariableFailsUnderRoundRobin) {
  EXPECT_GT(FiberStress<ThreadLocalStore>::Run(2, 40, kUse<algo::round_robin>).wrong, 100);
}

TEST(FiberStressTest, FibersKeepTheirContextsUnderRoundRobin) {
  ExpectClean(FiberStress<WeftStore>::Run(2, 100, kUse<algo::round_robin>));
}

TEST(FiberStressTest, RawFibersKeepContextsAndExceptionsUnderRoundRobin) {
  ExpectClean(FiberStress<InheritingStore>::Run(2, 100, kUse<Inheriting<algo::round_robin>>));
}

TEST(FiberStressTest, AThreadLocalVariableFailsUnderPriorities) {
  using Store = WithPriorities<ThreadLocalStore>;
  EXPECT_GT(FiberStress<Store>::Run(2, 40, kUse<ByPriority>).wrong, 100);
}

TEST(FiberStressTest, FibersKeepTheirContextsUnderPriorities) {
  ExpectClean(FiberStress<WithPriorities<WeftStore>>::Run(2, 100, kUse<ByPriority>));
}

TEST(FiberStressTest, RawFibersKeepContextsAndExceptionsUnderPriorities) {
  using Store = WithPriorities<InheritingStore>;
  ExpectClean(FiberStress<Store>::Run(2, 100, kUse<Inheriting<ByPriority>>));
}

}  // namespace
}  // namespace weft
