// SPDX-License-Identifier: Apache-2.0
// Fibers that move between threads.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <boost/context/fixedsize_stack.hpp>
#include <boost/fiber/algo/shared_work.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/context/context_scope.h>
#include <weft/context/inheriting.h>

#include "fiber_stress.h"

namespace weft {
namespace {

namespace algo = boost::fibers::algo;
using testing::CurrentId;
using testing::ExpectCleanAndMigrated;
using testing::FiberStress;
using testing::FinishLine;
using testing::InheritingStore;
using testing::Make;
using testing::ThreadLocalStore;
using testing::WeftStore;

constexpr auto kSharedWork = [](int) {
  boost::fibers::use_scheduling_algorithm<algo::shared_work>(true);
};
constexpr auto kInheritingSharedWork = [](int) {
  boost::fibers::use_scheduling_algorithm<Inheriting<algo::shared_work>>(true);
};

TEST(MigrationTest, AThreadLocalVariableFailsUnderSharedWork) {
  const auto result = FiberStress<ThreadLocalStore>::RunUntilMoved(3, 40, kSharedWork);
  EXPECT_GT(result.wrong, 100);
  EXPECT_GT(result.migrations, 0);
}

TEST(MigrationTest, FibersKeepTheirContextsUnderSharedWork) {
  ExpectCleanAndMigrated(FiberStress<WeftStore>::RunUntilMoved(3, 100, kSharedWork));
}

TEST(MigrationTest, RawFibersKeepContextsAndExceptionsUnderSharedWork) {
  const auto result = FiberStress<InheritingStore>::RunUntilMoved(3, 100, kInheritingSharedWork);
  ExpectCleanAndMigrated(result);
  EXPECT_GT(result.migrations_in_handlers, 0);
}

#if defined(__PIC__) && !defined(__PIE__) && defined(__OPTIMIZE__)
thread_local long cached_thread = 0;

// Why the store reads its thread-locals out of line: the compiler knows no fibers, and keeps the
// address of the variable of the thread before.
TEST(MigrationTest, AnInlineReadAfterAWaitFindsTheVariableOfTheThreadBefore) {
  constexpr int kFibers = 64;
  std::atomic<int> wrong = 0;
  std::atomic<int> left = kFibers;
  const auto body = [&] {
    // On a busy machine the threads may run one after the other at first.
    for (int i = 0; i < 500 || (wrong == 0 && i < 100'000); ++i) {
      cached_thread = syscall(SYS_gettid);
      boost::this_fiber::yield();
      wrong += cached_thread != syscall(SYS_gettid);
    }
    --left;
  };
  {
    std::barrier start(2);
    std::barrier end(2);
    const auto run = [&](int fibers) {
      kSharedWork(0);
      start.arrive_and_wait();
      cached_thread = syscall(SYS_gettid);
      for (int i = 0; i < fibers; ++i) boost::fibers::fiber(body).detach();
      while (left > 0) boost::this_fiber::yield();
      end.arrive_and_wait();
    };
    const std::jthread first([&] { run(kFibers); });
    const std::jthread second([&] { run(0); });
  }
  EXPECT_GT(wrong, 0);
}
#endif

// Hands the same few stacks out again, the last one given back first, to any thread.
class ReusedStacks {
 public:
  boost::context::stack_context allocate() {  // NOLINT(readability-identifier-naming)
    std::lock_guard lock(mutex_);
    if (free_.empty()) return boost::context::fixedsize_stack(kSize).allocate();
    auto stack = free_.back();
    free_.pop_back();
    ++reused_;
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) {  // NOLINT(readability-identifier-naming)
    std::lock_guard lock(mutex_);
    free_.push_back(stack);
  }
  static long reused() { return reused_; }
  static std::size_t free() {
    std::lock_guard lock(mutex_);
    return free_.size();
  }
  static void Clear() {
    for (auto& stack : free_) boost::context::fixedsize_stack(kSize).deallocate(stack);
    free_.clear();
  }

 private:
  static constexpr std::size_t kSize = 64 * 1024;
  static inline std::mutex mutex_;
  static inline std::vector<boost::context::stack_context> free_;
  static inline long reused_ = 0;
};

// Fibers with and without a context on stacks that went through other fibers and threads.
class StackReuse {
 public:
  explicit StackReuse(int threads) : start_(threads), finish_(threads) {}

  void RunThread(std::uint32_t seed) {
    kSharedWork(0);
    std::minstd_rand random(seed);
    start_.arrive_and_wait();
    // On a busy machine the threads may run one after the other at first.
    for (std::uint64_t round = 1; round <= 500 || (migrations < 100 && round <= 50'000); ++round) {
      std::vector<boost::fibers::fiber> children;
      for (std::uint64_t i = 0; i < 6; ++i) {
        const std::uint64_t id = random() % 2 == 0 ? 0 : round * 10 + i;
        children.emplace_back(boost::fibers::launch::post, std::allocator_arg, ReusedStacks(),
                              [this, id] { Body(id); });
      }
      for (auto& child : children) child.join();
    }
    finish_.Arrive();
  }

  std::atomic<long> wrong{0};
  std::atomic<long> migrations{0};

 private:
  void Body(std::uint64_t id) {
    Expect(0);
    Hop();
    if (id != 0) {
      ContextScope scope(Make(id));
      Hop();
      Expect(id);
    }
    Hop();
    Expect(0);
  }
  void Hop() {
    const long thread = syscall(SYS_gettid);
    boost::this_fiber::yield();
    migrations += syscall(SYS_gettid) != thread;
  }
  void Expect(std::uint64_t id) { wrong += CurrentId() != id; }

  std::barrier<> start_;
  FinishLine finish_;
};

TEST(MigrationTest, AFiberDoesNotSeeThePredecessorOnItsStack) {
  constexpr int kThreads = 3;
  StackReuse reuse(kThreads);
  {
    std::vector<std::jthread> threads;
    for (std::uint32_t i = 1; i <= kThreads; ++i) {
      threads.emplace_back([&reuse, i] { reuse.RunThread(i); });
    }
  }
  EXPECT_EQ(reuse.wrong, 0);
  EXPECT_GT(reuse.migrations, 0);
  EXPECT_GT(ReusedStacks::reused(), 1000);
  ReusedStacks::Clear();
}

// The same in one exact order: a thread has cached where the context of a fiber is, the fiber dies
// on another thread, and its stack comes back to the first one.
TEST(MigrationTest, AStackThatComesBackFromAnotherThreadBeginsAtTheRoot) {
  using boost::fibers::launch;
  std::jthread([] {
    kSharedWork(0);
    boost::fibers::promise<void> resume;
    std::uint64_t seen_there = 99;
    std::uint64_t seen_here = 99;
    std::uintptr_t stack_there = 0;
    std::uintptr_t stack_here = 1;
    bool moved = false;
    const auto stack = [] { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)); };
    boost::fibers::fiber(launch::dispatch, std::allocator_arg, ReusedStacks(), [&] {
      const long thread = syscall(SYS_gettid);
      ContextScope scope(Make(7));
      stack_there = stack();
      seen_there = CurrentId();
      resume.get_future().wait();
      moved = syscall(SYS_gettid) != thread;
      seen_there = seen_there == 7 ? CurrentId() : 98;
    }).detach();
    resume.set_value();
    std::jthread([] {
      kSharedWork(0);
      while (ReusedStacks::free() == 0) boost::this_fiber::yield();
    }).join();
    boost::fibers::fiber(launch::dispatch, std::allocator_arg, ReusedStacks(), [&] {
      stack_here = stack();
      seen_here = CurrentId();
    }).join();
    EXPECT_TRUE(moved);
    EXPECT_EQ(seen_there, 7);
    EXPECT_EQ(seen_here, 0);
    EXPECT_LT(stack_here > stack_there ? stack_here - stack_there : stack_there - stack_here, 4096);
  }).join();
  ReusedStacks::Clear();
}

// Runs fibers that were left behind until the stack of one has come back.
void RunOthersUntilAStackIsFree() {
  std::jthread([] {
    kInheritingSharedWork(0);
    while (ReusedStacks::free() == 0) boost::this_fiber::yield();
  }).join();
}

// A new fiber where another one was that ran here just before, and ended elsewhere meanwhile.
std::uint64_t SeenByAFiberOnTheFreeStack() {
  std::uint64_t seen = 99;
  ContextScope scope(Make(7));
  boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, ReusedStacks(), [&seen] {
    seen = CurrentId();
  }).join();
  return seen;
}

TEST(MigrationTest, AFiberWhereOneWasThatWaitedHereAndEndedElsewhereInherits) {
  std::uint64_t seen = 99;
  std::jthread([&seen] {
    using boost::fibers::launch;
    kInheritingSharedWork(0);
    boost::fibers::promise<void> resume;
    boost::fibers::fiber(launch::post, std::allocator_arg, ReusedStacks(), [&] {
      resume.get_future().wait();
    }).detach();
    boost::fibers::fiber(launch::post, [&] {
      resume.set_value();
      RunOthersUntilAStackIsFree();
      seen = SeenByAFiberOnTheFreeStack();
    }).join();
  }).join();
  EXPECT_EQ(seen, 7);
  ReusedStacks::Clear();
}

TEST(MigrationTest, AFiberWhereOneWasThatDispatchedAnotherHereAndEndedElsewhereInherits) {
  std::uint64_t seen = 99;
  std::jthread([&seen] {
    using boost::fibers::launch;
    kInheritingSharedWork(0);
    boost::fibers::promise<void> done;
    boost::fibers::fiber(launch::post, std::allocator_arg, ReusedStacks(), [&] {
      boost::fibers::fiber(launch::dispatch, [&] {
        RunOthersUntilAStackIsFree();
        seen = SeenByAFiberOnTheFreeStack();
        done.set_value();
      }).detach();
    }).detach();
    done.get_future().wait();
  }).join();
  EXPECT_EQ(seen, 7);
  ReusedStacks::Clear();
}

}  // namespace
}  // namespace weft
