// SPDX-License-Identifier: Apache-2.0
// Coroutines that suspend behind the back of their CoroutineScope.
#include <gtest/gtest.h>

#include <coroutine>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include <weft/context/context_stats.h>
#include <weft/context/coroutine.h>

#include "coroutine_task.h"
#include "counted_id.h"

namespace weft {
namespace {

using testing::CurrentId;
using testing::Make;
using testing::PlainTask;
using testing::ReadyQueue;

PlainTask HopWithoutKeep(ReadyQueue& queue, std::vector<std::uint64_t>& seen) {
  CoroutineScope coroutine;
  seen.push_back(CurrentId());
  co_await queue.Hop();
  seen.push_back(CurrentId());
  co_await coroutine.Keep(queue.Hop());
  seen.push_back(CurrentId());
  co_return 0;
}

TEST(CoroutineMisuseTest, GoingOnElsewhereWithoutItsContextIsCountedAndHarmsNobody) {
  const ContextStats before = ContextStats::Read();
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  std::uint64_t other_sees = 99;
  std::jthread([&] {
    std::optional<PlainTask> task;
    {
      ContextScope caller(Make(1));
      task.emplace(HopWithoutKeep(queue, seen));
      task->Resume();
    }
    std::jthread([&] {
      ContextScope own(Make(50));
      queue.Pop().resume();
      queue.Pop().resume();
      other_sees = CurrentId();
      task.reset();
    }).join();
  }).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 50, 50}));
  EXPECT_EQ(other_sees, 50);
  EXPECT_GT(ContextStats::Read().wrong_stack, before.wrong_stack);
}

TEST(CoroutineMisuseTest, ComingBackToTheSameStackHealsIt) {
  const ContextStats before = ContextStats::Read();
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  ContextScope caller(Make(1));
  PlainTask task = HopWithoutKeep(queue, seen);
  task.Resume();
  queue.Pop().resume();
  queue.Pop().resume();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 1, 1}));
  EXPECT_EQ(ContextStats::Read().wrong_stack, before.wrong_stack);
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
}

TEST(CoroutineMisuseTest, AContextLeftInsideAnotherCoroutineGoesWhenThatOneSuspends) {
  const ContextStats before = ContextStats::Read();
  ReadyQueue queue;
  std::vector<std::uint64_t> seen;
  PlainTask inner = HopWithoutKeep(queue, seen);
  auto outer = [&]() -> testing::Task {
    ContextScope scope(Make(2));
    inner.Resume();
    co_await queue.Hop();
    co_return static_cast<int>(CurrentId());
  };
  const testing::Task task = outer();
  ContextScope resumer(Make(1));
  task.Resume();
  EXPECT_EQ(CurrentId(), 1);
  const std::coroutine_handle<> first = queue.Pop();
  queue.Pop().resume();
  EXPECT_EQ(task.result(), 2);
  first.resume();
  queue.Pop().resume();
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(ContextStats::Read().wrong_stack, before.wrong_stack);
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
}

// Lets an exception out without saying that the coroutine no longer runs.
struct Forgetful {
  struct promise_type : CoroutineContext<promise_type> {
    Forgetful get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    auto initial_suspend() noexcept { return Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return Finally(std::suspend_always()); }
    void return_void() noexcept {}
    void unhandled_exception() { throw; }
  };
  std::coroutine_handle<promise_type> handle;
};

TEST(CoroutineMisuseTest, AnExceptionThatLeavesWithoutLeaveIsHealedByDestruction) {
  const ContextStats before = ContextStats::Read();
  auto body = []() -> Forgetful {
    throw 1;
    co_return;
  };
  ContextScope caller(Make(1));
  const Forgetful coroutine = body();
  {
    ContextScope inner(Make(2));
    EXPECT_THROW(coroutine.handle.resume(), int);
    coroutine.handle.destroy();
    EXPECT_EQ(CurrentId(), 2);
  }
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(ContextStats::Read().wrong_stack, before.wrong_stack);
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
}

}  // namespace
}  // namespace weft
