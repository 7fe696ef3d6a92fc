// SPDX-License-Identifier: Apache-2.0
#include <weft/context/async.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <boost/fiber/fixedsize_stack.hpp>

#include "counted_id.h"

namespace weft {
namespace {

namespace fibers = boost::fibers;
using testing::CountedId;
using testing::CurrentId;
using testing::Make;

TEST(AsyncTest, TheFutureHasWhatTheFunctionReturnedInTheInheritedContext) {
  ContextScope scope(Make(7));
  const auto body = [](std::uint64_t add) { return CurrentId() + add; };
  auto plain = Async(body, std::uint64_t{1});
  auto dispatched = Async(fibers::launch::dispatch, body, std::uint64_t{2});
  auto on_stack = Async(fibers::launch::post, std::allocator_arg,
                        fibers::fixedsize_stack(64 * 1024), body, std::uint64_t{3});
  static_assert(std::is_same_v<decltype(plain), fibers::future<std::uint64_t>>);
  EXPECT_EQ(plain.get(), 8);
  EXPECT_EQ(dispatched.get(), 9);
  EXPECT_EQ(on_stack.get(), 10);
}

TEST(AsyncTest, BoostsOwnStartsAtTheRoot) {
  ContextScope scope(Make(7));
  EXPECT_EQ(fibers::async([] { return CurrentId(); }).get(), 0);
}

TEST(AsyncTest, TakesTheContextOfItsCall) {
  fibers::future<std::uint64_t> seen;
  {
    ContextScope scope(Make(7));
    seen = Async([] { return CurrentId(); });
  }
  ContextScope later(Make(8));
  EXPECT_EQ(seen.get(), 7);
}

TEST(AsyncTest, HandsOnExceptionsAndMoveOnlyValues) {
  auto failed = Async([]() -> int { throw std::runtime_error("no answer"); });
  EXPECT_THROW(failed.get(), std::runtime_error);
  auto box = Async([own = std::make_unique<int>(2)](
                       std::unique_ptr<int> other) { return std::make_unique<int>(*own + *other); },
                   std::make_unique<int>(3));
  EXPECT_EQ(*box.get(), 5);
}

TEST(AsyncTest, TheContextIsGoneWhenTheFutureIsReady) {
  auto context = Make(7);
  fibers::future<void> done;
  {
    ContextScope scope(std::move(context));
    done = Async([] {});
  }
  EXPECT_EQ(CountedId::live(), 1);
  done.get();
  EXPECT_EQ(CountedId::live(), 0);
}

}  // namespace
}  // namespace weft
