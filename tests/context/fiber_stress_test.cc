// SPDX-License-Identifier: Apache-2.0
#include "fiber_stress.h"

#include <gtest/gtest.h>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/algo/shared_work.hpp>

#include <weft/context/context_stats.h>

namespace weft {
namespace {

namespace algo = boost::fibers::algo;
using testing::CountedId;
using testing::CurrentId;
using testing::FiberStress;
using testing::Make;
using testing::StressResult;
using testing::WeftStore;

constexpr auto kRoundRobin = [](int) {};
constexpr auto kSharedWork = [](int) {
  boost::fibers::use_scheduling_algorithm<algo::shared_work>(true);
};

// What people write first: one variable for each thread. Fails on fibers.
struct ThreadLocalStore {
  static constexpr bool kKeepsExceptions = false;
  [[gnu::noinline]] static std::uint64_t Swap(std::uint64_t id) {
    asm volatile("");
    return std::exchange(current_, id);
  }
  struct Scope {
    explicit Scope(std::uint64_t id) : previous(Swap(id)) {}
    ~Scope() { Swap(previous); }
    std::uint64_t previous;
  };
  [[gnu::noinline]] static std::uint64_t Current() {
    asm volatile("");
    return current_;
  }
  template <typename F>
  static boost::fibers::fiber Start(boost::fibers::launch policy, F function) {
    return boost::fibers::fiber(policy, Carry(std::move(function)));
  }
  template <typename F>
  static auto Carry(F function) {
    return [id = Current(), function = std::move(function)]() mutable {
      Scope scope(id);
      function();
    };
  }
  static inline thread_local std::uint64_t current_ = 0;
};

void ExpectClean(const StressResult& result, const ContextStats& before) {
  const ContextStats after = ContextStats::Read();
  EXPECT_EQ(result.wrong, 0) << "of " << result.checks;
  EXPECT_GT(result.checks, 1000);
  EXPECT_EQ(after.wrong_stack, before.wrong_stack);
  EXPECT_EQ(after.out_of_order, before.out_of_order);
  EXPECT_EQ(after.stale, before.stale);
  EXPECT_EQ(after.slots_live, before.slots_live);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(FiberStressTest, AThreadLocalVariableFailsThisTest) {
  EXPECT_GT(FiberStress<ThreadLocalStore>::Run(2, 40, kRoundRobin).wrong, 100);
}

TEST(FiberStressTest, FibersKeepTheirContextsUnderRoundRobin) {
  const ContextStats before = ContextStats::Read();
  ExpectClean(FiberStress<WeftStore>::Run(2, 100, kRoundRobin), before);
}

TEST(FiberStressTest, FibersKeepTheirContextsWhenTheyMoveBetweenThreads) {
  const ContextStats before = ContextStats::Read();
  const StressResult result = FiberStress<WeftStore>::Run(3, 100, kSharedWork);
  ExpectClean(result, before);
  EXPECT_GT(result.migrations, 0) << "no fiber moved: the test proves nothing";
}

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
  explicit StackReuse(int threads) : end_(threads) {}

  void RunThread(std::uint32_t seed) {
    kSharedWork(0);
    std::minstd_rand random(seed);
    for (std::uint64_t round = 1; round <= 500; ++round) {
      std::vector<boost::fibers::fiber> children;
      for (std::uint64_t i = 0; i < 6; ++i) {
        const std::uint64_t id = random() % 2 == 0 ? 0 : round * 10 + i;
        children.emplace_back(boost::fibers::launch::post, std::allocator_arg, ReusedStacks(),
                              [this, id] { Body(id); });
      }
      for (auto& child : children) child.join();
    }
    end_.arrive_and_wait();
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

  std::barrier<> end_;
};

TEST(FiberStressTest, AFiberDoesNotSeeThePredecessorOnItsStack) {
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

}  // namespace
}  // namespace weft
