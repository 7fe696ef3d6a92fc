// SPDX-License-Identifier: Apache-2.0
#include <weft/context/execution_context.h>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/spawn.hpp>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/coroutine2/coroutine.hpp>

#include <weft/context/context_scope.h>
#include <weft/context/context_stats.h>

#include "coroutine_task.h"
#include "counted_id.h"
#include "heap_bytes.h"
#include "unchanged_store.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::HeapBytes;
using testing::KeptStore;
using testing::LeftStore;
using testing::Make;
using testing::ThreadNumber;

static_assert(!std::is_copy_constructible_v<ExecutionContext>);
static_assert(std::is_nothrow_move_constructible_v<ExecutionContext>);
static_assert(std::is_nothrow_move_assignable_v<ExecutionContext>);

class ExecutionContextTest : public testing::UnchangedStore {
 protected:
  std::uint64_t ForeignLooks() const {
    return ContextStats::Read().foreign_stack - before_.foreign_stack;
  }
};

// A coroutine as runtimes made them before there were libraries for it.
class UcontextCoroutine {
 public:
  static constexpr std::size_t kStackSize = 64 * 1024;

  template <typename Body>
  explicit UcontextCoroutine(Body body, std::size_t size = kStackSize)
      : size_(size), body_(std::move(body)) {
    stack_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    getcontext(&own_);
    own_.uc_stack.ss_sp = stack_;
    own_.uc_stack.ss_size = size_;
    own_.uc_link = nullptr;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&own_, reinterpret_cast<void (*)()>(&UcontextCoroutine::Enter), 2,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self));
  }
  UcontextCoroutine(const UcontextCoroutine&) = delete;
  ~UcontextCoroutine() { munmap(stack_, size_); }

  const void* low() const { return stack_; }
  const void* high() const { return stack_ + size_; }
  bool done() const { return done_; }

  void Resume() { swapcontext(&caller_, &own_); }
  void Suspend() { swapcontext(&own_, &caller_); }

 private:
  static void Enter(unsigned high, unsigned low) {
    auto* const self =
        reinterpret_cast<UcontextCoroutine*>((std::uintptr_t{high} << 32) | std::uintptr_t{low});
    self->body_(*self);
    self->done_ = true;
    self->Suspend();
  }

  std::size_t size_;
  std::function<void(UcontextCoroutine&)> body_;
  char* stack_ = nullptr;
  ucontext_t own_{};
  ucontext_t caller_{};
  bool done_ = false;
};

ExecutionContext Register(const UcontextCoroutine& coroutine) {
  return RegisterExecutionContext(coroutine.low(), coroutine.high());
}

TEST_F(ExecutionContextTest, WithoutItACoroutineChangesTheContextOfItsCaller) {
  UcontextCoroutine coroutine([](UcontextCoroutine& self) {
    ContextScope scope(Make(6));
    self.Suspend();
  });
  ContextScope caller(Make(5));
  coroutine.Resume();
  EXPECT_EQ(CurrentId(), 6);
  coroutine.Resume();
  EXPECT_EQ(CurrentId(), 5);
  EXPECT_GT(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, ACoroutineKeepsItsScopesOnWhateverThreadItGoesOn) {
  std::vector<std::uint64_t> seen;
  std::vector<long> threads;
  UcontextCoroutine coroutine([&](UcontextCoroutine& self) {
    const auto look = [&] {
      seen.push_back(CurrentId());
      threads.push_back(ThreadNumber());
    };
    look();
    {
      ContextScope scope(Make(6));
      look();
      self.Suspend();
      look();
      ContextScope inner(Derive(Context::Current(), 7));
      self.Suspend();
      look();
    }
    look();
  });
  std::optional<ExecutionContext> registered;
  {
    ContextScope creator(Make(5));
    registered.emplace(Register(coroutine));
  }
  ASSERT_TRUE(*registered);
  for (std::uint64_t id = 50; !coroutine.done(); ++id) {
    std::jthread([&] {
      ContextScope resumer(Make(id));
      coroutine.Resume();
      EXPECT_EQ(CurrentId(), id);
    }).join();
  }
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5, 6, 6, 7, 5}));
  EXPECT_NE(threads[1], threads[2]);
  EXPECT_NE(threads[2], threads[3]);
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, NoSchedulerOfFibersIsCreated) {
  std::size_t used = 99;
  std::jthread([&] {
    UcontextCoroutine coroutine([&](UcontextCoroutine&) {
      ContextScope scope(Make(6));
      static_cast<void>(CurrentId());
    });
    const ExecutionContext registered = Register(coroutine);
    const std::size_t before = HeapBytes();
    coroutine.Resume();
    used = HeapBytes() - before;
  }).join();
  EXPECT_LT(used, 4096);
}

TEST_F(ExecutionContextTest, WorksInTheLowerPartOfAStackAbove16MiB) {
  std::uint64_t seen = 99;
  UcontextCoroutine coroutine(
      [&](UcontextCoroutine&) {
        ContextScope scope(Make(1));
        volatile char frame[20 << 20];
        frame[0] = 0;
        auto below = [](volatile char*) {
          ContextScope inner(Derive(Context::Current(), CurrentId() + 1));
          return CurrentId();
        };
        seen = below(frame) * 10 + CurrentId();
      },
      std::size_t{40} << 20);
  const ExecutionContext registered = Register(coroutine);
  coroutine.Resume();
  EXPECT_EQ(seen, 21);
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, AStackThatIsRegisteredNoLongerSharesTheThreadsContextAgain) {
  std::vector<std::uint64_t> seen;
  UcontextCoroutine coroutine([&](UcontextCoroutine& self) {
    seen.push_back(CurrentId());
    self.Suspend();
    seen.push_back(CurrentId());
  });
  {
    ContextScope creator(Make(5));
    const ExecutionContext registered = Register(coroutine);
    ContextScope resumer(Make(6));
    coroutine.Resume();
  }
  EXPECT_EQ(CountedId::live(), 0);
  ContextScope resumer(Make(7));
  coroutine.Resume();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5, 7}));
  EXPECT_GT(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, RefusesRangesThatAreEmptyOrOverlap) {
  alignas(16) static char memory[4096];
  EXPECT_FALSE(RegisterExecutionContext(memory, memory));
  EXPECT_FALSE(RegisterExecutionContext(memory + 64, memory));
  EXPECT_FALSE(ExecutionContext());
  ExecutionContext middle = RegisterExecutionContext(memory + 1024, memory + 2048);
  EXPECT_TRUE(middle);
  EXPECT_FALSE(RegisterExecutionContext(memory + 1024, memory + 2048));
  EXPECT_FALSE(RegisterExecutionContext(memory, memory + 1025));
  EXPECT_FALSE(RegisterExecutionContext(memory + 2047, memory + 4096));
  EXPECT_FALSE(RegisterExecutionContext(memory, memory + 4096));
  const ExecutionContext below = RegisterExecutionContext(memory, memory + 1024);
  const ExecutionContext above = RegisterExecutionContext(memory + 2048, memory + 4096);
  EXPECT_TRUE(below);
  EXPECT_TRUE(above);
  ExecutionContext moved = std::move(middle);
  EXPECT_TRUE(moved);
  EXPECT_FALSE(middle);  // NOLINT(bugprone-use-after-move)
  moved = ExecutionContext();
  EXPECT_TRUE(RegisterExecutionContext(memory + 1024, memory + 2048));
}

TEST_F(ExecutionContextTest, AContextFiberMovesBetweenThreadsWithItsContext) {
  namespace ctx = boost::context;
  std::vector<std::uint64_t> seen;
  ctx::fiber fiber;
  {
    ContextScope creator(Make(5));
    fiber = ctx::fiber(std::allocator_arg, ExecutionContextStack{ctx::fixedsize_stack()},
                       [&](ctx::fiber&& caller) {
                         seen.push_back(CurrentId());
                         {
                           ContextScope scope(Make(6));
                           caller = std::move(caller).resume();
                           seen.push_back(CurrentId());
                         }
                         seen.push_back(CurrentId());
                         return std::move(caller);
                       });
  }
  for (std::uint64_t id = 50; fiber; ++id) {
    std::jthread([&] {
      ContextScope resumer(Make(id));
      fiber = std::move(fiber).resume();
      EXPECT_EQ(CurrentId(), id);
    }).join();
  }
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5, 6, 5}));
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, ACoroutine2LeavesTheContextOfItsCallerAlone) {
  using Coroutine = boost::coroutines2::coroutine<std::uint64_t>;
  ContextScope caller(Make(5));
  {
    Coroutine::pull_type values(ExecutionContextStack{boost::context::fixedsize_stack()},
                                [](Coroutine::push_type& sink) {
                                  for (std::uint64_t id = 6; id < 9; ++id) {
                                    ContextScope scope(Derive(Context::Current(), id));
                                    sink(CurrentId());
                                  }
                                  sink(CurrentId());
                                });
    for (const std::uint64_t expected : {6, 7, 8, 5}) {
      EXPECT_EQ(values.get(), expected);
      EXPECT_EQ(CurrentId(), 5);
      values();
    }
  }
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, ACoroutineOfAsioKeepsItsContextOnEveryThreadOfItsPool) {
  namespace asio = boost::asio;
  asio::io_context io;
  std::atomic<int> right = 0;
  std::atomic<int> moved = 0;
  constexpr int kCoroutines = 50;
  for (std::uint64_t id = 1; id <= kCoroutines; ++id) {
    ContextScope creator(Make(id));
    asio::spawn(
        io, std::allocator_arg, ExecutionContextStack{boost::context::fixedsize_stack()},
        [&, id](asio::yield_context yield) {
          bool sees_own = CurrentId() == id;
          ContextScope scope(Derive(Context::Current(), id + 1000));
          for (int i = 0; i < 50 || (moved == 0 && i < 50'000); ++i) {
            const long thread = ThreadNumber();
            asio::post(io, yield);
            sees_own = sees_own && CurrentId() == id + 1000;
            moved += ThreadNumber() != thread;
          }
          right += sees_own;
        },
        asio::detached);
  }
  std::vector<std::jthread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      ContextScope own(Make(99));
      io.run();
      EXPECT_EQ(CurrentId(), 99);
    });
  }
  threads.clear();
  EXPECT_EQ(right, kCoroutines);
  EXPECT_GT(moved, 0);
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, ACoroutineWithoutAStackRunsOnOneThatHas) {
  testing::ReadyQueue queue;
  auto body = [&]() -> testing::Task {
    ContextScope scope(Make(8));
    co_await queue.Hop();
    co_return static_cast<int>(CurrentId());
  };
  const testing::Task task = body();
  UcontextCoroutine stackful([&](UcontextCoroutine& self) {
    ContextScope scope(Make(6));
    task.Resume();
    EXPECT_EQ(CurrentId(), 6);
    self.Suspend();
    queue.Pop().resume();
    EXPECT_EQ(CurrentId(), 6);
  });
  const ExecutionContext registered = Register(stackful);
  stackful.Resume();
  EXPECT_EQ(CurrentId(), 0);
  std::jthread([&] { stackful.Resume(); }).join();
  EXPECT_EQ(task.result(), 8);
}

// The first thread looked at this stack before the coroutine ran on it, and at no other since.
TEST_F(ExecutionContextTest, AStackThatComesBackToAThreadShowsTheCoroutineThatRunsOnItNow) {
  std::vector<std::uint64_t> seen;
  UcontextCoroutine* stack = nullptr;
  auto body = [&]() -> testing::Task {
    ContextScope scope(Make(8));
    stack->Suspend();
    seen.push_back(CurrentId());
    co_return 0;
  };
  UcontextCoroutine stackful([&](UcontextCoroutine& self) {
    ContextScope scope(Make(6));
    seen.push_back(CurrentId());
    self.Suspend();
    body().Resume();
    seen.push_back(CurrentId());
  });
  stack = &stackful;
  const ExecutionContext registered = Register(stackful);
  std::binary_semaphore other_turn(0);
  std::binary_semaphore own_turn(0);
  std::jthread other([&] {
    other_turn.acquire();
    stackful.Resume();
    own_turn.release();
  });
  std::jthread([&] {
    stackful.Resume();
    other_turn.release();
    own_turn.acquire();
    stackful.Resume();
  }).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{6, 8, 6}));
}

// Threads that take whichever coroutine is ready, run it for a while, and put it back.
struct StressResult {
  long wrong = 0;
  long migrations = 0;
};

template <typename Store>
StressResult Stress(int threads, int coroutines, int rounds, bool registered) {
  struct Job {
    std::unique_ptr<UcontextCoroutine> coroutine;
    ExecutionContext registration;
  };
  std::atomic<long> wrong = 0;
  std::atomic<long> migrations = 0;
  std::atomic<std::uint64_t> next_id = 1;
  const auto check = [&](std::uint64_t expected) { wrong += Store::Current() != expected; };
  const auto body = [&](UcontextCoroutine& self) {
    // On a busy machine one thread may do all of it at first.
    for (int round = 0; round < rounds || (migrations == 0 && round < 1000 * rounds); ++round) {
      const std::uint64_t id = next_id++;
      typename Store::Scope scope(id);
      const long thread = ThreadNumber();
      self.Suspend();
      check(id);
      migrations += ThreadNumber() != thread;
    }
  };
  std::mutex mutex;
  std::vector<Job> ready;
  for (int i = 0; i < coroutines; ++i) {
    auto coroutine = std::make_unique<UcontextCoroutine>(body);
    ExecutionContext registration = registered ? Register(*coroutine) : ExecutionContext();
    ready.push_back({std::move(coroutine), std::move(registration)});
  }
  const auto take = [&]() -> Job {
    std::lock_guard lock(mutex);
    if (ready.empty()) return {};
    Job job = std::move(ready.back());
    ready.pop_back();
    return job;
  };
  std::atomic<int> unfinished = coroutines;
  std::vector<std::jthread> workers;
  for (int i = 0; i < threads; ++i) {
    workers.emplace_back([&] {
      const std::uint64_t id = next_id++;
      typename Store::Scope own(id);
      while (unfinished > 0) {
        Job job = take();
        if (job.coroutine == nullptr) {
          std::this_thread::yield();
          continue;
        }
        job.coroutine->Resume();
        check(id);
        if (job.coroutine->done()) {
          --unfinished;
          continue;
        }
        std::lock_guard lock(mutex);
        ready.insert(ready.begin(), std::move(job));
      }
    });
  }
  workers.clear();
  return {wrong, migrations};
}

TEST_F(ExecutionContextTest, EachSeesItsOwnContextOnEveryThread) {
  const StressResult result = Stress<KeptStore>(3, 20, 500, true);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_GT(result.migrations, 0);
  EXPECT_EQ(ForeignLooks(), 0);
}

TEST_F(ExecutionContextTest, WithAThreadLocalVariableTheySeeThoseOfOthers) {
  const StressResult result = Stress<LeftStore>(3, 20, 50, false);
  EXPECT_GT(result.wrong, 0);
  EXPECT_GT(result.migrations, 0);
}

}  // namespace
}  // namespace weft
