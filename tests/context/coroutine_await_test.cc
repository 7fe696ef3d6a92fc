// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <gtest/gtest.h>

#include <coroutine>
#include <cstdint>
#include <optional>
#include <thread>

#include "coroutine_bodies.h"
#include "coroutine_task.h"
#include "counted_id.h"
#include "unchanged_store.h"

namespace weft {
namespace {

using testing::CurrentId;
using testing::Make;
using testing::OnThread;
using testing::ReadyQueue;
using testing::Return;
using testing::Task;

using CoroutineAwaitTest = testing::UnchangedStore;

// What an operation looks like that gRPC or anybody else completes.
struct Observed {
  bool ready = false;
  std::uint64_t at_ready = 99;
  std::uint64_t at_suspend = 99;
  std::uint64_t at_resume = 99;
};
template <typename Suspend>
struct Operation {
  bool await_ready() const {
    observed->at_ready = CurrentId();
    return observed->ready;
  }
  auto await_suspend(std::coroutine_handle<> coroutine) const {
    observed->at_suspend = CurrentId();
    return suspend(coroutine);
  }
  std::uint64_t await_resume() const { return observed->at_resume = CurrentId(); }

  Observed* observed;
  Suspend suspend;
};
template <typename Suspend>
Operation(Observed*, Suspend) -> Operation<Suspend>;

TEST_F(CoroutineAwaitTest, StartsAnOperationInItsOwnContextAndGoesOnInIt) {
  Observed observed;
  std::coroutine_handle<> waiting;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    const auto park = [&](std::coroutine_handle<> coroutine) { waiting = coroutine; };
    co_return static_cast<int>(co_await Operation{&observed, park});
  };
  const Task task = body();
  {
    ContextScope resumer(Make(1));
    task.Resume();
    EXPECT_EQ(CurrentId(), 1);
  }
  EXPECT_EQ(OnThread(50, waiting), 50);
  EXPECT_EQ(observed.at_ready, 6);
  EXPECT_EQ(observed.at_suspend, 6);
  EXPECT_EQ(observed.at_resume, 6);
  EXPECT_EQ(task.result(), 6);
}

TEST_F(CoroutineAwaitTest, GoesOnWhenAnOperationIsReadyOrDeclinesToSuspend) {
  Observed ready{.ready = true};
  Observed declined;
  Observed refused;
  Observed thrown;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    co_await Operation{&ready, [](std::coroutine_handle<>) {}};
    co_await Operation{&declined, [](std::coroutine_handle<>) { return false; }};
    co_await Operation{&refused, [](std::coroutine_handle<> own) { return own; }};
    try {
      co_await Operation{&thrown, [](std::coroutine_handle<>) -> bool { throw 1; }};
    } catch (int) {
      co_return static_cast<int>(CurrentId());
    }
    co_return 0;
  };
  const Task task = body();
  ContextScope resumer(Make(1));
  task.Resume();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(ready.at_suspend, 99);
  EXPECT_EQ(ready.at_resume, 6);
  EXPECT_EQ(declined.at_suspend, 6);
  EXPECT_EQ(declined.at_resume, 6);
  EXPECT_EQ(refused.at_resume, 6);
  EXPECT_EQ(thrown.at_suspend, 6);
  EXPECT_EQ(task.result(), 6);
}

// g++ suspends for both before it resumes either.
TEST_F(CoroutineAwaitTest, AwaitsTwiceInOneExpression) {
  ReadyQueue queue;
  Observed first;
  Observed second;
  auto body = [&]() -> Task {
    ContextScope scope(Make(3));
    const auto park = [&](std::coroutine_handle<> coroutine) { queue.Push(coroutine); };
    const std::uint64_t sum = co_await Operation{&first, park} + co_await Operation{&second, park};
    co_return static_cast<int>(10 * sum + CurrentId());
  };
  const Task task = body();
  task.Resume();
  EXPECT_EQ(OnThread(50, [&] { queue.Pop().resume(); }), 50);
  EXPECT_EQ(OnThread(60, [&] { queue.Pop().resume(); }), 60);
  EXPECT_EQ(task.result(), 63);
  for (const Observed& observed : {first, second}) {
    EXPECT_EQ(observed.at_ready, 3);
    EXPECT_EQ(observed.at_suspend, 3);
  }
}

TEST_F(CoroutineAwaitTest, MayBeResumedWhileItIsStillSuspending) {
  Observed observed;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    co_await Operation{&observed, [](std::coroutine_handle<> coroutine) { coroutine.resume(); }};
    co_return static_cast<int>(CurrentId());
  };
  const Task task = body();
  ContextScope resumer(Make(1));
  task.Resume();
  EXPECT_EQ(task.result(), 6);
  EXPECT_EQ(CurrentId(), 1);
}

TEST_F(CoroutineAwaitTest, EndsAndIsDestroyedWhileItIsStillSuspending) {
  ReadyQueue queue;
  std::optional<Task> task;
  auto body = [&]() -> Task {
    ContextScope scope(Make(6));
    Observed observed;
    co_await Operation{&observed, [&](std::coroutine_handle<> coroutine) {
                         std::jthread([coroutine, &task] {
                           coroutine.resume();
                           task.reset();
                         }).join();
                         EXPECT_EQ(CurrentId(), 6);
                       }};
    co_return 0;
  };
  task.emplace(body());
  ContextScope resumer(Make(1));
  task->Resume();
  EXPECT_FALSE(task);
  EXPECT_EQ(CurrentId(), 1);
}

// An awaitable that cannot be moved, and an awaiter of a free operator.
struct Fixed {
  explicit Fixed(int initial) : value(initial) {}
  Fixed(const Fixed&) = delete;
  int value;
};
auto operator co_await(const Fixed& fixed) {
  struct Awaiter : std::suspend_never {
    explicit Awaiter(int initial) : value(initial) {}
    int await_resume() const noexcept { return value; }
    int value;
  };
  return Awaiter(fixed.value);
}

TEST_F(CoroutineAwaitTest, AwaitsWhateverCanBeAwaited) {
  auto body = []() -> Task {
    Fixed named(1);
    int sum = co_await named;
    sum += co_await Fixed(20);
    const Task child = Return(300);
    sum += co_await child;
    CoroutineScope inner;
    sum += co_await inner.Keep(Fixed(4000));
    const Task other = Return(50'000);
    sum += co_await inner.Keep(other);
    co_return sum;
  };
  const Task task = body();
  task.Resume();
  EXPECT_EQ(task.result(), 54'321);
}

}  // namespace
}  // namespace weft
