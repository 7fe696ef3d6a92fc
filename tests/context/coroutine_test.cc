// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <gtest/gtest.h>

#include <coroutine>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "coroutine_bodies.h"
#include "coroutine_task.h"
#include "counted_id.h"
#include "unchanged_store.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::HopInScope;
using testing::Make;
using testing::OnThread;
using testing::PlainTask;
using testing::ReadyQueue;
using testing::Return;
using testing::See;
using testing::Task;
using testing::Throw;

using CoroutineTest = testing::UnchangedStore;

static_assert(!std::is_copy_constructible_v<CoroutineScope>);
static_assert(std::is_nothrow_default_constructible_v<CoroutineScope>);

TEST_F(CoroutineTest, InheritsTheContextOfItsCallerNotOfWhoResumesIt) {
  std::uint64_t seen = 99;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(See(&seen));
  }
  ContextScope resumer(Make(2));
  task->Resume();
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(CurrentId(), 2);
}

TEST_F(CoroutineTest, WithAnEmptyContextHidesThatOfWhoResumesIt) {
  std::uint64_t seen = 99;
  const Task task = See(&seen);
  ContextScope resumer(Make(2));
  task.Resume();
  EXPECT_EQ(seen, 0);
}

TEST_F(CoroutineTest, KeepsItsScopesOnWhateverThreadItGoesOn) {
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(HopInScope(queue, seen));
  }
  task->Resume();
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_TRUE(task->done());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 7, 8, 7, 1}));
}

// The same with a thread_local variable in the place of the store.
TEST_F(CoroutineTest, AThreadLocalVariableIsLeftBehindOnTheThread) {
  static thread_local std::uint64_t current = 0;
  struct Read {
    [[gnu::noinline]] static std::uint64_t& Current() {
      asm volatile("");
      return current;
    }
  };
  struct Scope {
    explicit Scope(std::uint64_t id) : previous(std::exchange(Read::Current(), id)) {}
    ~Scope() { Read::Current() = previous; }
    std::uint64_t previous;
  };
  ReadyQueue queue;
  std::uint64_t seen = 99;
  auto body = [](ReadyQueue& ready, std::uint64_t& result) -> PlainTask {
    Scope scope(7);
    co_await ready.Hop();
    result = Read::Current();
    co_return 0;
  };
  const PlainTask task = body(queue, seen);
  task.Resume();
  EXPECT_EQ(Read::Current(), 7);
  std::jthread([&] { queue.Pop().resume(); }).join();
  EXPECT_EQ(seen, 0);
  Read::Current() = 0;
}

TEST_F(CoroutineTest, ResultsAndExceptionsComeThroughAnAwait) {
  ReadyQueue queue;
  auto body = [&](std::vector<std::uint64_t>& seen) -> Task {
    ContextScope scope(Make(3));
    const int sum = co_await Return(40) + co_await Return(2);
    seen.push_back(CurrentId());
    for (ReadyQueue* ready : {static_cast<ReadyQueue*>(nullptr), &queue}) {
      try {
        co_await Throw(ready);
      } catch (const std::runtime_error&) {
        seen.push_back(CurrentId());
      }
    }
    co_return sum;
  };
  std::vector<std::uint64_t> seen;
  const Task task = body(seen);
  task.Resume();
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(task.result(), 42);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{3, 3, 3}));
}

TEST_F(CoroutineTest, AChildInheritsWhereItIsCalledAndLeavesItsParentAlone) {
  auto child = [](std::vector<std::uint64_t>& seen) -> Task {
    seen.push_back(CurrentId());
    ContextScope scope(Derive(Context::Current(), 5));
    seen.push_back(CurrentId());
    co_return 0;
  };
  auto parent = [&](std::vector<std::uint64_t>& seen) -> Task {
    ContextScope scope(Make(4));
    co_await child(seen);
    seen.push_back(CurrentId());
    co_return 0;
  };
  std::vector<std::uint64_t> seen;
  const Task task = parent(seen);
  ContextScope resumer(Make(1));
  task.Resume();
  seen.push_back(CurrentId());
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{4, 5, 4, 1}));
}

TEST_F(CoroutineTest, ResumedInsideAnotherLiesOverItAndLeavesItAlone) {
  ReadyQueue queue;
  std::vector<std::uint64_t> inner_seen;
  auto outer = [&](const Task& inner) -> Task {
    ContextScope scope(Make(2));
    inner.Resume();
    const std::uint64_t between = CurrentId();
    co_await queue.Hop();
    queue.Pop().resume();
    co_return static_cast<int>(10 * between + CurrentId());
  };
  const Task inner = HopInScope(queue, inner_seen);
  const Task task = outer(inner);
  task.Resume();
  // The inner one waits before the outer one in the queue.
  OnThread(50, [&] {
    const std::coroutine_handle<> first = queue.Pop();
    const std::coroutine_handle<> second = queue.Pop();
    first.resume();
    second.resume();
  });
  EXPECT_EQ(task.result(), 22);
  EXPECT_EQ(inner_seen, (std::vector<std::uint64_t>{7, 7, 8, 7, 0}));
}

TEST_F(CoroutineTest, DestroyedOnAnotherThreadWhileItWaitsLeavesNothing) {
  for (int round = 0; round < 200; ++round) {
    ReadyQueue queue;
    std::vector<std::uint64_t> seen;
    std::optional<Task> task;
    {
      ContextScope caller(Make(1));
      task.emplace(HopInScope(queue, seen));
    }
    task->Resume();
    if (round % 2 == 1) OnThread(50, [&] { queue.Pop().resume(); });
    EXPECT_EQ(OnThread(60, [&] { task.reset(); }), 60);
    ASSERT_EQ(CountedId::live(), 0);
  }
}

TEST_F(CoroutineTest, NeverStartedItHoldsTheContextUntilItIsDestroyed) {
  std::uint64_t seen = 99;
  {
    std::optional<Task> task;
    {
      ContextScope caller(Make(1));
      task.emplace(See(&seen));
    }
    EXPECT_EQ(CountedId::live(), 1);
  }
  EXPECT_EQ(seen, 99);
}

TEST_F(CoroutineTest, LetsGoOfItsContextAtItsEnd) {
  std::uint64_t seen = 99;
  std::optional<Task> task;
  {
    ContextScope caller(Make(1));
    task.emplace(See(&seen));
  }
  task->Resume();
  EXPECT_EQ(CountedId::live(), 0);
}

}  // namespace
}  // namespace weft
