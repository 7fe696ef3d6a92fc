// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <gtest/gtest.h>

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <vector>

#include "coroutine_bodies.h"
#include "coroutine_task.h"
#include "counted_id.h"
#include "unchanged_store.h"

namespace weft {
namespace {

using testing::CurrentId;
using testing::Derive;
using testing::Make;
using testing::OnThread;
using testing::PlainTask;
using testing::ReadyQueue;
using testing::Throw;

using CoroutinePromiseTest = testing::UnchangedStore;

// A coroutine that runs at once and deletes itself: no final suspension.
struct Detached {
  struct promise_type : CoroutineContext<promise_type> {
    Detached get_return_object() noexcept { return {}; }
    auto initial_suspend() noexcept { return Initially(std::suspend_never()); }
    auto final_suspend() noexcept { return Finally(std::suspend_never()); }
    void return_void() noexcept {}
    void unhandled_exception() {
      Leave();
      throw;
    }
  };
};

TEST_F(CoroutinePromiseTest, MayRunAtOnceAndDeleteItself) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  auto body = [](ReadyQueue& ready, std::vector<std::uint64_t>& all) -> Detached {
    ContextScope scope(Derive(Context::Current(), 5));
    co_await ready.Hop();
    all.push_back(CurrentId());
  };
  ContextScope caller(Make(1));
  body(queue, seen);
  EXPECT_EQ(CurrentId(), 1);
  OnThread(50, [&] { queue.Pop().resume(); });
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5}));
}

TEST_F(CoroutinePromiseTest, MayLetAnExceptionOutToWhoResumesIt) {
  auto body = []() -> Detached {
    ContextScope scope(Make(5));
    throw 1;
    co_return;
  };
  ContextScope caller(Make(1));
  try {
    body();
    FAIL();
  } catch (int) {
    EXPECT_EQ(CurrentId(), 1);
  }
}

// A generator: its co_yield does not pass await_transform.
struct Generator {
  struct promise_type : CoroutineContext<promise_type> {
    Generator get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    auto initial_suspend() noexcept { return Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return Finally(std::suspend_always()); }
    auto yield_value(std::uint64_t id) {
      value = id;
      return Keep(std::suspend_always());
    }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }

    std::uint64_t value = 0;
  };
  ~Generator() { handle.destroy(); }

  std::coroutine_handle<promise_type> handle;
};

TEST_F(CoroutinePromiseTest, AGeneratorKeepsItsScopesBetweenItsValues) {
  auto body = []() -> Generator {
    for (std::uint64_t id = 1; id < 4; ++id) {
      ContextScope scope(Make(id));
      co_yield CurrentId();
      co_yield CurrentId();
    }
  };
  const Generator generator = body();
  for (const std::uint64_t expected : {1, 1, 2, 2, 3, 3}) {
    EXPECT_EQ(OnThread(50, generator.handle), 50);
    EXPECT_EQ(generator.handle.promise().value, expected);
  }
  OnThread(50, generator.handle);
  EXPECT_TRUE(generator.handle.done());
}

PlainTask HopInForeignCoroutine(ReadyQueue& queue, std::vector<std::uint64_t>& seen) {
  CoroutineScope coroutine;
  seen.push_back(CurrentId());
  {
    ContextScope scope(Make(7));
    co_await coroutine.Keep(queue.Hop());
    seen.push_back(CurrentId());
    try {
      co_await coroutine.Keep(Throw(&queue));
    } catch (const std::runtime_error&) {
      seen.push_back(CurrentId());
    }
  }
  seen.push_back(CurrentId());
  co_return 0;
}

TEST_F(CoroutinePromiseTest, AScopeKeepsTheContextOfACoroutineWithAForeignPromise) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  const PlainTask task = HopInForeignCoroutine(queue, seen);
  {
    ContextScope first_resumer(Make(1));
    task.Resume();
    EXPECT_EQ(CurrentId(), 1);
  }
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_TRUE(task.done());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 7, 7, 1}));
}

TEST_F(CoroutinePromiseTest, AForeignCoroutineDestroyedWhileItWaitsLeavesNothing) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  std::optional<PlainTask> task(HopInForeignCoroutine(queue, seen));
  task->Resume();
  EXPECT_EQ(OnThread(50, [&] { task.reset(); }), 50);
}

}  // namespace
}  // namespace weft
