// SPDX-License-Identifier: Apache-2.0
#include <weft/context/bind.h>

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>

#include "counted_id.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::CurrentId;
using testing::Make;

struct Throwing {
  int operator()(int) { return 1; }
};
struct Silent {
  int operator()(int) const noexcept { return 1; }
};
struct OnlyOnce {
  int operator()() && { return 1; }
};

static_assert(!std::is_nothrow_invocable_v<Bound<Throwing>&, int>);
static_assert(std::is_nothrow_invocable_v<const Bound<Silent>&, int>);
static_assert(!std::is_invocable_v<const Bound<Throwing>&, int>);
static_assert(!std::is_invocable_v<Bound<Silent>&> && !std::is_invocable_v<Bound<Silent>&, char*>);
static_assert(std::is_invocable_v<Bound<OnlyOnce>> && !std::is_invocable_v<Bound<OnlyOnce>&>);
static_assert(std::is_nothrow_move_constructible_v<Bound<Silent>>);
static_assert(sizeof(Bound<Silent>) == sizeof(Context));

TEST(BindTest, RunsInTheContextOfItsMakingOnAnotherThread) {
  std::uint64_t plain = 99;
  std::uint64_t bound = 99;
  {
    ContextScope scope(Make(7));
    std::jthread([&] { plain = CurrentId(); }).join();
    std::jthread(Bind([&] { bound = CurrentId(); })).join();
  }
  EXPECT_EQ(plain, 0);
  EXPECT_EQ(bound, 7);
}

TEST(BindTest, GivesTheRunnerItsOwnContextBack) {
  auto function = Bind(Make(7), [] { return CurrentId(); });
  ContextScope scope(Make(8));
  EXPECT_EQ(function(), 7);
  EXPECT_EQ(CurrentId(), 8);
}

TEST(BindTest, OfTheRootHidesTheRunnersContext) {
  auto function = Bind([] { return CurrentId(); });
  ContextScope scope(Make(8));
  EXPECT_EQ(function(), 0);
  EXPECT_EQ(CurrentId(), 8);
}

TEST(BindTest, DetachedForgetsTheContextOfItsMaking) {
  ContextScope scope(Make(8));
  auto function = Detached([] { return CurrentId(); });
  EXPECT_EQ(function(), 0);
  EXPECT_EQ(CurrentId(), 8);
}

TEST(BindTest, InnerBindWins) {
  auto function = Bind(Make(1), Bind(Make(2), [] { return CurrentId(); }));
  EXPECT_EQ(function(), 2);
}

TEST(BindTest, PassesArgumentsAndResultsThrough) {
  int target = 1;
  auto function = Bind(Make(1), [](int& value, std::unique_ptr<int> add) -> int& {
    value += *add;
    return value;
  });
  int& result = function(target, std::make_unique<int>(2));
  EXPECT_EQ(&result, &target);
  EXPECT_EQ(target, 3);
}

TEST(BindTest, CallsMembers) {
  struct Agent {
    std::uint64_t Ask() { return CurrentId(); }
  } agent;
  EXPECT_EQ(Bind(Make(5), &Agent::Ask)(agent), 5);
}

TEST(BindTest, MovesMoveOnlyCallables) {
  auto function = Bind(Make(7), [box = std::make_unique<int>(3)] { return *box + CurrentId(); });
  static_assert(!std::is_copy_constructible_v<decltype(function)>);
  auto moved = std::move(function);
  EXPECT_EQ(moved(), 10);
}

TEST(BindTest, FitsTheStandardWrappers) {
  ContextScope scope(Make(7));
  const std::function<std::uint64_t()> function = Bind([] { return CurrentId(); });
  EXPECT_EQ(std::async(std::launch::async, function).get(), 7);

  std::packaged_task<std::uint64_t()> task(Bind([] { return CurrentId(); }));
  std::future<std::uint64_t> result = task.get_future();
  std::jthread(std::move(task)).join();
  EXPECT_EQ(result.get(), 7);
}

TEST(BindTest, AnExceptionLeavesWithTheRunnersContextRestored) {
  auto function = Bind(Make(7), []() { throw 1; });
  ContextScope scope(Make(8));
  EXPECT_THROW(function(), int);
  EXPECT_EQ(CurrentId(), 8);
}

TEST(BindTest, TheLastCallLetsGoOfTheContext) {
  auto function = Bind(Make(7), [] { return CurrentId(); });
  EXPECT_EQ(CountedId::live(), 1);
  EXPECT_EQ(std::move(function)(), 7);
  EXPECT_EQ(CountedId::live(), 0);
}

}  // namespace
}  // namespace weft
