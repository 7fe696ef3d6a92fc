// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <gtest/gtest.h>

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <latch>
#include <random>
#include <thread>
#include <vector>

#include "coroutine_task.h"
#include "unchanged_store.h"

namespace weft {
namespace {

using testing::ReadyQueue;
using testing::ThreadNumber;

using CoroutineStressTest = testing::UnchangedStore;

// Coroutines that wait in every way on threads that take whichever is ready, and check after each
// step that they see their own context. The threads check that they see theirs.
struct StressResult {
  long checks = 0;
  long wrong = 0;
  long migrations = 0;
};

template <typename Store>
class CoroutineStress {
 public:
  static StressResult Run(int threads, int coroutines, int rounds) {
    CoroutineStress stress;
    std::latch ended(coroutines);
    std::vector<typename Store::Task> tasks;
    for (int i = 0; i < coroutines; ++i) {
      tasks.push_back(stress.Root(static_cast<std::uint32_t>(i + 1), rounds, ended));
      stress.queue_.Push(tasks.back().handle());
    }
    std::vector<std::jthread> workers;
    for (int i = 0; i < threads; ++i) workers.emplace_back([&] { stress.Work(); });
    ended.wait();
    stress.queue_.Close();
    workers.clear();
    return {stress.checks_, stress.wrong_, stress.migrations_};
  }

 private:
  using Random = std::minstd_rand;
  using Task = typename Store::Task;

  void Work() {
    const std::uint64_t id = next_id_++;
    typename Store::Scope own(id);
    while (const std::coroutine_handle<> ready = queue_.Pop()) {
      ready.resume();
      Check(id);
    }
  }

  Task Root(std::uint32_t seed, int rounds, std::latch& ended) {
    Random random(seed);
    // On a busy machine one thread may do all of it at first.
    for (int round = 0; round < rounds || (migrations_ == 0 && round < 1000 * rounds); ++round) {
      Check(0);
      const std::uint64_t id = next_id_++;
      typename Store::Scope scope(id);
      co_await Step(id, 0, random);
      Check(id);
    }
    ended.count_down();
    co_return 0;
  }

  Task Step(std::uint64_t parent, int depth, Random& random) {
    Check(parent);
    const std::uint64_t id = next_id_++;
    typename Store::Scope scope(id);
    const long thread = ThreadNumber();
    switch (random() % 6) {
      case 0:
      case 1:
        co_await queue_.Hop();
        break;
      case 2:
        co_await std::suspend_never();
        break;
      case 3:
        if (depth < 3) co_await Step(id, depth + 1, random);
        break;
      case 4: {
        typename Store::Scope inner(id + 1'000'000'000);
        co_await queue_.Hop();
        Check(id + 1'000'000'000);
        break;
      }
      default:
        try {
          co_await Fail(id);
        } catch (std::uint64_t thrown) {
          wrong_ += thrown != id;
        }
    }
    Check(id);
    migrations_ += ThreadNumber() != thread;
    co_return 0;
  }

  Task Fail(std::uint64_t id) {
    typename Store::Scope scope(next_id_++);
    co_await queue_.Hop();
    throw id;
  }

  void Check(std::uint64_t expected) {
    ++checks_;
    wrong_ += Store::Current() != expected;
  }

  ReadyQueue queue_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<long> checks_{0};
  std::atomic<long> wrong_{0};
  std::atomic<long> migrations_{0};
};

TEST_F(CoroutineStressTest, EachSeesItsOwnContextOnEveryThread) {
  const StressResult result = CoroutineStress<testing::KeptStore>::Run(4, 64, 200);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.checks, 64 * 200 * 3);
  EXPECT_GT(result.migrations, 0);
}

TEST_F(CoroutineStressTest, WithAThreadLocalVariableTheySeeThoseOfOthers) {
  const StressResult result = CoroutineStress<testing::LeftStore>::Run(4, 64, 20);
  EXPECT_GT(result.wrong, 0);
  EXPECT_GT(result.migrations, 0);
}

}  // namespace
}  // namespace weft
