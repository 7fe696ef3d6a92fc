// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <memory>

#include <weft/async/cq_scheduler.h>

#include "../context/fiber_stress.h"

namespace weft {
namespace {

using testing::ExpectClean;
using testing::FiberStress;
using testing::InheritingStore;
using testing::StressResult;
using testing::ThreadLocalStore;
using testing::WeftStore;

struct Scheduling {
  explicit Scheduling(CqScheduler::Fibers fibers) : scheduler(&queue, fibers) {}
  grpc::CompletionQueue queue;
  CqScheduler scheduler;
};

constexpr auto kPlain = [](int) {
  return std::make_unique<Scheduling>(CqScheduler::Fibers::kPlain);
};
constexpr auto kInheriting = [](int) {
  return std::make_unique<Scheduling>(CqScheduler::Fibers::kInheriting);
};

// Two threads whose fibers wait for each other, through locks and alarms.
void ExpectCleanAndPinned(const StressResult& result) {
  ExpectClean(result);
  EXPECT_EQ(result.migrations, 0) << "fibers stay on the thread of their queue";
}

TEST(CqStressTest, AThreadLocalVariableFails) {
  EXPECT_GT(FiberStress<ThreadLocalStore>::Run(2, 40, kPlain).wrong, 100);
}

TEST(CqStressTest, FibersKeepTheirContexts) {
  ExpectCleanAndPinned(FiberStress<WeftStore>::Run(2, 60, kPlain));
}

TEST(CqStressTest, RawFibersInheritAndKeepTheirExceptions) {
  ExpectCleanAndPinned(FiberStress<InheritingStore>::Run(2, 60, kInheriting));
}

}  // namespace
}  // namespace weft
