// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <memory>

#include <weft/async/cq_scheduler.h>
#include <weft/context/context_stats.h>

#include "../context/fiber_stress.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::FiberStress;
using testing::InheritingStore;
using testing::WeftStore;

struct Scheduling {
  explicit Scheduling(CqScheduler::Fibers fibers) : scheduler(&queue, fibers) {}
  grpc::CompletionQueue queue;
  CqScheduler scheduler;
};

// Two threads whose fibers wait for each other, through locks and alarms.
template <typename Store>
void Stress(CqScheduler::Fibers fibers) {
  const ContextStats before = ContextStats::Read();
  const auto result = FiberStress<Store>::Run(
      2, 60, [fibers](int) { return std::make_unique<Scheduling>(fibers); });
  EXPECT_EQ(result.wrong, 0) << "of " << result.checks;
  EXPECT_GT(result.checks, 1000);
  EXPECT_EQ(result.migrations, 0) << "fibers stay on the thread of their queue";
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(CqStressTest, FibersKeepTheirContexts) { Stress<WeftStore>(CqScheduler::Fibers::kPlain); }

TEST(CqStressTest, RawFibersInheritAndKeepTheirExceptions) {
  Stress<InheritingStore>(CqScheduler::Fibers::kInheriting);
}

}  // namespace
}  // namespace weft
