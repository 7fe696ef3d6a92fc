// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/context/context_stats.h>
#include <weft/context/spawn.h>

#include "by_priority.h"
#include "counted_id.h"

#if defined(__SANITIZE_ADDRESS__)
// g++ ships the function without its header.
extern "C" void __asan_unpoison_memory_region(const volatile void* low, std::size_t size);
#endif

namespace weft {
inline namespace v0 {
namespace testing {

// AddressSanitizer does not know the stack of a fiber, so what it marked around the variables of
// frames that an exception has left stays marked.
[[gnu::noinline]] inline void ForgetFramesBelow() {
#if defined(__SANITIZE_ADDRESS__)
  constexpr std::size_t kDepth = 16 * 1024;
  const auto* const frame = static_cast<const char*>(__builtin_frame_address(0));
  __asan_unpoison_memory_region(frame - kDepth, kDepth);
#endif
}

// What people write first: one variable for each thread. Fails on fibers.
struct ThreadLocalStore {
  static constexpr bool kKeepsExceptions = false;
  static void BeforeWait(std::uint32_t) {}
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

// The store under test, in the shape that FiberStress asks for.
struct WeftStore {
  static constexpr bool kKeepsExceptions = false;
  static void BeforeWait(std::uint32_t) {}
  class Scope {
   public:
    explicit Scope(std::uint64_t id) : scope_(Derive(Context::Current(), id)) {}

   private:
    ContextScope scope_;
  };
  static std::uint64_t Current() { return CurrentId(); }
  template <typename F>
  static boost::fibers::fiber Start(boost::fibers::launch policy, F function) {
    return Spawn(policy, std::move(function));
  }
  template <typename F>
  static auto Carry(F function) {
    return Bind(std::move(function));
  }
};

// The same under an Inheriting scheduler: nothing is said where fibers are made.
struct InheritingStore : WeftStore {
  static constexpr bool kKeepsExceptions = true;
  template <typename F>
  static boost::fibers::fiber Start(boost::fibers::launch policy, F function) {
    return boost::fibers::fiber(policy, std::move(function));
  }
  template <typename F>
  static F Carry(F function) {
    return function;
  }
};

// Any of them, with fibers that change their priority as they go.
template <typename Store>
struct WithPriorities : Store {
  static void BeforeWait(std::uint32_t random) {
    boost::this_fiber::properties<Priority>().Set(static_cast<int>(random % 3));
  }
};

struct StressResult {
  long checks = 0;
  long wrong = 0;
  long migrations = 0;
  long migrations_in_handlers = 0;
  std::uint64_t misused = 0;     // scopes
  std::uint64_t slots_kept = 0;  // by fibers that have ended
};

inline void ExpectClean(const StressResult& result) {
  EXPECT_EQ(result.wrong, 0) << "of " << result.checks;
  EXPECT_GT(result.checks, 1000);
  EXPECT_EQ(result.misused, 0);
  EXPECT_EQ(result.slots_kept, 0);
  EXPECT_EQ(CountedId::live(), 0);
  ::testing::Test::RecordProperty("checks", std::to_string(result.checks));
  ::testing::Test::RecordProperty("migrations", std::to_string(result.migrations));
}

inline void ExpectCleanAndMigrated(const StressResult& result) {
  ExpectClean(result);
  EXPECT_GT(result.migrations, 0) << "no fiber moved: the test proves nothing";
}

// Where threads that share fibers wait for one another at the end.
class FinishLine {
 public:
  explicit FinishLine(int threads) : threads_(threads), end_(threads) {}

  void Arrive() {
    // Fibers of others may still run here: one of them could wait for ever if this thread blocked.
    std::unique_lock lock(mutex_);
    if (++arrived_ == threads_) all_arrived_.notify_all();
    all_arrived_.wait(lock, [this] { return arrived_ == threads_; });
    lock.unlock();
    // A scheduler must not go while another thread still wakes it.
    end_.arrive_and_wait();
  }

 private:
  const int threads_;
  std::barrier<> end_;
  boost::fibers::mutex mutex_;
  boost::fibers::condition_variable all_arrived_;
  std::atomic<int> arrived_ = 0;  // also under mutex_, which ThreadSanitizer does not see
};

// Fibers that suspend in every way, nest scopes, start children, throw and recurse, and check after
// each step that the store still shows them their own value.
//
// They suspend inside catch blocks only if the scheduler keeps their exceptions apart.
template <typename Store>
class FiberStress {
 public:
  // `install(threads)` runs first on each thread and chooses its scheduler. What it returns, if
  // anything, lives as long as the thread's work.
  template <typename Install>
  static StressResult Run(int threads, int fibers, Install install) {
    return Run(threads, fibers, install, /*until_moved=*/false);
  }

  // For schedulers that share fibers: goes on until some have moved. On a busy machine the threads
  // may run one after the other at first.
  template <typename Install>
  static StressResult RunUntilMoved(int threads, int fibers, Install install) {
    return Run(threads, fibers, install, /*until_moved=*/true);
  }

 private:
  using Random = std::minstd_rand;

  template <typename Install>
  static StressResult Run(int threads, int fibers, Install install, bool until_moved) {
#if defined(__SANITIZE_THREAD__)
    fibers /= 4;  // it takes many times as long
#endif
    const ContextStats before = ContextStats::Read();
    FiberStress stress(threads, until_moved);
    std::vector<std::jthread> workers;
    for (int thread = 0; thread < threads; ++thread) {
      workers.emplace_back([&stress, install, threads, fibers, thread] {
        [[maybe_unused]] const auto installed = Installed(install, threads);
        stress.RunThread(static_cast<std::uint32_t>(thread), fibers);
      });
    }
    workers.clear();
    const ContextStats after = ContextStats::Read();
    return {stress.checks_,
            stress.wrong_,
            stress.migrations_,
            stress.migrations_in_handlers_,
            Misused(after) - Misused(before),
            after.slots_live - before.slots_live};
  }

  template <typename Install>
  static auto Installed(Install install, int threads) {
    if constexpr (std::is_void_v<decltype(install(threads))>) {
      install(threads);
      return nullptr;
    } else {
      return install(threads);
    }
  }

  static std::uint64_t Misused(const ContextStats& stats) {
    return stats.wrong_stack + stats.out_of_order + stats.stale;
  }

  FiberStress(int threads, bool until_moved)
      : until_moved_(until_moved), start_(threads), finish_(threads) {}

  void RunThread(std::uint32_t thread, int fibers) {
    start_.arrive_and_wait();
    {
      const std::uint64_t id = next_id_++;
      typename Store::Scope scope(id);
      for (std::uint32_t turn = 0; turn == 0 || (turn < 1000 && MustMove()); ++turn) {
        RunChildren(id, turn * 1'000'003 + thread * 100'003 + 1, fibers);
      }
    }
    Check(0);
    finish_.Arrive();
  }

  void RunChildren(std::uint64_t id, std::uint32_t first_seed, int fibers) {
    std::vector<boost::fibers::fiber> children;
    for (int i = 0; i < fibers; ++i) {
      const std::uint32_t seed = first_seed + static_cast<std::uint32_t>(i);
      children.push_back(Store::Start(boost::fibers::launch::post,
                                      [this, id, seed] { Body(id, 0, Random(seed)); }));
      Check(id);
    }
    for (auto& child : children) {
      child.join();
      Check(id);
    }
  }

  bool MustMove() const {
    const auto& moved = Store::kKeepsExceptions ? migrations_in_handlers_ : migrations_;
    return until_moved_ && moved == 0;
  }

  void Body(std::uint64_t own, int depth, Random random) {
    Check(own);
    long thread = syscall(SYS_gettid);
    for (int round = 0; round < 6; ++round) {
      Suspend(random);
      Check(own);
      const long now = syscall(SYS_gettid);
      migrations_ += std::exchange(thread, now) != now;
      const std::uint64_t id = next_id_++;
      try {
        Step(id, depth, random);
      } catch (std::uint64_t) {
        ForgetFramesBelow();
        if constexpr (Store::kKeepsExceptions) SuspendInHandler(id, random);
      }
      Check(own);
    }
  }

  [[gnu::noinline]] void SuspendInHandler(std::uint64_t thrown, Random& random) {
    const long thread = syscall(SYS_gettid);
    Suspend(random);
    // Long enough that some are stolen.
    for (int turn = 0; turn < 20; ++turn) boost::this_fiber::yield();
    migrations_in_handlers_ += syscall(SYS_gettid) != thread;
    boost::fibers::fiber(boost::fibers::launch::dispatch, [this, &random] {
      wrong_ += std::current_exception() != nullptr;
      Suspend(random);
      wrong_ += std::current_exception() != nullptr;
    }).join();
    wrong_ += std::uncaught_exceptions() != 0;
    try {
      throw;
    } catch (std::uint64_t caught) {
      wrong_ += caught != thrown;
    }
    ++checks_;
  }

  void Step(std::uint64_t id, int depth, Random& random) {
    typename Store::Scope scope(id);
    Check(id);
    Suspend(random);
    Check(id);
    if (depth < 2 && random() % 3 == 0) Child(id, depth, random);
    if (random() % 4 == 0) Recurse(static_cast<int>(random() % 40), id, random);
    if (random() % 4 == 0) {
      auto carried = Store::Carry([this, id, &random] {
        Check(id);
        Suspend(random);
        Check(id);
      });
      boost::fibers::fiber(std::move(carried)).join();
    }
    Check(id);
    if (random() % 5 == 0) throw id;
  }

  void Child(std::uint64_t id, int depth, Random& random) {
    using boost::fibers::launch;
    const launch policy = random() % 2 == 0 ? launch::post : launch::dispatch;
    const Random seed(static_cast<std::uint32_t>(random()));
    boost::fibers::fiber child =
        Store::Start(policy, [this, id, depth, seed] { Body(id, depth + 1, seed); });
    Check(id);
    Suspend(random);
    Check(id);
    child.join();
  }

  [[gnu::noinline]] void Recurse(int frames, std::uint64_t id, Random& random) {
    volatile char frame[256] = {};
    if (frames > 0) {
      Recurse(frames - 1, id, random);
    } else {
      Suspend(random);
    }
    Check(id + static_cast<unsigned char>(frame[0]));
  }

  void Suspend(Random& random) {
    Store::BeforeWait(static_cast<std::uint32_t>(random()));
    switch (random() % 5) {
      case 0:
      case 1:
        boost::this_fiber::yield();
        break;
      case 2: {
        std::unique_lock lock(mutex_);
        boost::this_fiber::yield();
        break;
      }
      case 3: {
        boost::fibers::promise<void> never;
        never.get_future().wait_for(std::chrono::microseconds(random() % 50));
        break;
      }
      default: {
        boost::fibers::promise<int> promise;
        auto future = promise.get_future();
        boost::fibers::fiber setter([&promise] { promise.set_value(1); });
        future.get();
        setter.join();
      }
    }
  }

  void Check(std::uint64_t expected) {
    ++checks_;
    wrong_ += Store::Current() != expected;
  }

  const bool until_moved_;
  std::barrier<> start_;
  FinishLine finish_;
  boost::fibers::mutex mutex_;
  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<long> checks_{0};
  std::atomic<long> wrong_{0};
  std::atomic<long> migrations_{0};
  std::atomic<long> migrations_in_handlers_{0};
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
