// SPDX-License-Identifier: Apache-2.0
// Coroutines that run in fibers that move between threads.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/algo/shared_work.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/context/context_stats.h>
#include <weft/context/coroutine.h>
#include <weft/context/inheriting.h>
#include <weft/context/spawn.h>

#include "coroutine_task.h"
#include "counted_id.h"

namespace weft {
namespace {

namespace fibers = boost::fibers;
using boost::this_fiber::yield;
using testing::CountedId;
using testing::CurrentId;
using testing::KeptStore;
using testing::LeftStore;
using testing::Make;
using testing::ReadyQueue;
using testing::Task;
using testing::ThreadNumber;

struct StressResult {
  long checks = 0;
  long wrong = 0;
  long migrations_of_fibers = 0;  // with a coroutine running in them
  long hops = 0;                  // of coroutines to another thread
};

// Fibers on several threads take coroutines that are ready. Each coroutine waits, which takes it to
// another fiber, and has its fiber wait, which takes both to another thread.
template <typename Store>
class CoroutineFiberStress {
 public:
  template <typename Install>
  static StressResult Run(Install install, int coroutines, int rounds) {
    constexpr int kThreads = 3;
    CoroutineFiberStress stress(coroutines);
    std::vector<typename Store::Task> tasks;
    for (int i = 0; i < coroutines; ++i) {
      tasks.push_back(stress.Body(static_cast<std::uint32_t>(i + 1), rounds));
      stress.queue_.Push(tasks.back().handle());
    }
    std::barrier<> all(kThreads);
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        install();
        all.arrive_and_wait();
        stress.ServeInFibers();
        // A scheduler must not go while another thread still wakes it.
        all.arrive_and_wait();
      });
    }
    threads.clear();
    return {stress.checks_, stress.wrong_, stress.migrations_, stress.hops_};
  }

 private:
  using Task = typename Store::Task;

  explicit CoroutineFiberStress(int coroutines) : unfinished_(coroutines) {}

  void ServeInFibers() {
    std::vector<fibers::fiber> servers;
    for (int i = 0; i < 4; ++i) servers.emplace_back([this] { Serve(); });
    for (fibers::fiber& server : servers) server.join();
  }

  void Serve() {
    const std::uint64_t id = next_id_++;
    typename Store::Scope own(id);
    while (unfinished_ > 0) {
      if (const std::coroutine_handle<> ready = queue_.TryPop()) ready.resume();
      Check(id);
      yield();
    }
  }

  Task Body(std::uint32_t seed, int rounds) {
    std::minstd_rand random(seed);
    // On a busy machine one thread may do all of it at first.
    for (int round = 0; round < rounds || (Unmoved() && round < 1000 * rounds); ++round) {
      const std::uint64_t id = next_id_++;
      typename Store::Scope scope(id);
      switch (random() % 3) {
        case 0: {
          const long thread = ThreadNumber();
          co_await queue_.Hop();
          hops_ += ThreadNumber() != thread;
          break;
        }
        case 1:
          YieldOften(id);
          break;
        default:
          co_await Child(id);
      }
      Check(id);
    }
    Check(0);
    --unfinished_;
    co_return 0;
  }

  Task Child(std::uint64_t parent) {
    Check(parent);
    const std::uint64_t id = next_id_++;
    typename Store::Scope scope(id);
    co_await queue_.Hop();
    YieldOften(id);
    co_return 0;
  }

  // The fiber waits, not the coroutine.
  [[gnu::noinline]] void YieldOften(std::uint64_t id) {
    const long thread = ThreadNumber();
    for (int i = 0; i < 5; ++i) {
      yield();
      Check(id);
    }
    migrations_ += ThreadNumber() != thread;
  }

  bool Unmoved() const { return migrations_ == 0 || hops_ == 0; }

  void Check(std::uint64_t expected) {
    ++checks_;
    wrong_ += Store::Current() != expected;
  }

  ReadyQueue queue_;
  std::atomic<int> unfinished_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<long> checks_{0};
  std::atomic<long> wrong_{0};
  std::atomic<long> migrations_{0};
  std::atomic<long> hops_{0};
};

void ShareWork() { fibers::use_scheduling_algorithm<fibers::algo::shared_work>(true); }
void ShareWorkInheriting() {
  fibers::use_scheduling_algorithm<Inheriting<fibers::algo::shared_work>>(true);
}

template <typename Install>
void ExpectKept(Install install) {
  const ContextStats before = ContextStats::Read();
  const StressResult result = CoroutineFiberStress<KeptStore>::Run(install, 24, 200);
  const ContextStats after = ContextStats::Read();
  EXPECT_EQ(result.wrong, 0) << "of " << result.checks;
  EXPECT_GT(result.checks, 24 * 200);
  EXPECT_GT(result.migrations_of_fibers, 0);
  EXPECT_GT(result.hops, 0);
  EXPECT_EQ(after.wrong_stack, before.wrong_stack);
  EXPECT_EQ(after.out_of_order, before.out_of_order);
  EXPECT_EQ(after.stale, before.stale);
  EXPECT_EQ(after.foreign_stack, before.foreign_stack);
  EXPECT_EQ(after.slots_live, before.slots_live);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(CoroutineFiberTest, KeepsItsContextInFibersThatMoveBetweenThreads) { ExpectKept(ShareWork); }

TEST(CoroutineFiberTest, KeepsItsContextUnderAnInheritingScheduler) {
  ExpectKept(ShareWorkInheriting);
}

TEST(CoroutineFiberTest, AThreadLocalVariableIsLeftBehindByBoth) {
  const StressResult result = CoroutineFiberStress<LeftStore>::Run(ShareWork, 24, 50);
  EXPECT_GT(result.wrong, 0);
  EXPECT_GT(result.migrations_of_fibers, 0);
}

Task StartFibers(std::vector<std::uint64_t>& seen, bool raw) {
  ContextScope scope(Make(7));
  const auto see = [&seen] { seen.push_back(CurrentId()); };
  for (const fibers::launch policy : {fibers::launch::post, fibers::launch::dispatch}) {
    fibers::fiber child = raw ? fibers::fiber(policy, see) : Spawn(policy, see);
    child.join();
    see();
  }
  co_return 0;
}

TEST(CoroutineFiberTest, TheFibersThatItMakesInheritItsContext) {
  std::vector<std::uint64_t> seen;
  std::jthread([&] {
    ContextScope resumer(Make(1));
    StartFibers(seen, false).Resume();
  }).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 7, 7, 7}));
}

TEST(CoroutineFiberTest, TheRawFibersThatItMakesInheritUnderAnInheritingScheduler) {
  std::vector<std::uint64_t> seen;
  std::jthread([&] {
    fibers::use_scheduling_algorithm<Inheriting<fibers::algo::round_robin>>();
    ContextScope resumer(Make(1));
    StartFibers(seen, true).Resume();
    fibers::fiber([&] { StartFibers(seen, true).Resume(); }).join();
  }).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 7, 7, 7, 7, 7, 7, 7}));
}

}  // namespace
}  // namespace weft
