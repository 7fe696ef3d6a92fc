// SPDX-License-Identifier: Apache-2.0
#include <weft/context/spawn.h>

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include <boost/coroutine2/coroutine.hpp>
#include <boost/fiber/fixedsize_stack.hpp>
#include <boost/fiber/fss.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/context/context_stats.h>

#include "counted_id.h"

namespace weft {
namespace {

namespace fibers = boost::fibers;
using boost::this_fiber::yield;
using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::Make;

TEST(SpawnTest, TheChildInheritsWhateverConstructorIsUsed) {
  ContextScope scope(Make(7));
  std::vector<std::uint64_t> seen;
  auto body = [&seen](int add) { seen.push_back(CurrentId() + static_cast<unsigned>(add)); };
  fibers::pooled_fixedsize_stack pool(64 * 1024);
  Spawn(body, 1).join();
  Spawn(fibers::launch::dispatch, body, 2).join();
  Spawn(std::allocator_arg, fibers::fixedsize_stack(32 * 1024), body, 3).join();
  Spawn(fibers::launch::post, std::allocator_arg, pool, body, 4).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{8, 9, 10, 11}));
}

TEST(SpawnTest, ARawFiberBeginsAtTheRoot) {
  ContextScope scope(Make(7));
  std::uint64_t seen = 99;
  fibers::fiber([&] { seen = CurrentId(); }).join();
  EXPECT_EQ(seen, 0);
}

TEST(SpawnTest, TakesTheContextOfItsCallNotOfTheChildsStart) {
  std::uint64_t seen = 99;
  fibers::fiber child;
  {
    ContextScope scope(Make(7));
    child = Spawn([&] { seen = CurrentId(); });
  }
  ContextScope later(Make(8));
  child.join();
  EXPECT_EQ(seen, 7);
}

TEST(SpawnTest, MovesMoveOnlyFunctionsAndArguments) {
  ContextScope scope(Make(7));
  std::uint64_t sum = 0;
  Spawn([&sum, box = std::make_unique<int>(1)](
            std::unique_ptr<int> other) { sum = CurrentId() + unsigned(*box + *other); },
        std::make_unique<int>(2))
      .join();
  EXPECT_EQ(sum, 10);
}

TEST(SpawnTest, FibersThatTakeTurnsKeepTheirContexts) {
  std::vector<fibers::fiber> children;
  int wrong = 0;
  for (std::uint64_t id = 1; id <= 10; ++id) {
    ContextScope scope(Make(id));
    children.push_back(Spawn([&wrong, id] {
      for (int round = 0; round < 100; ++round) {
        wrong += CurrentId() != id;
        ContextScope inner(Derive(Context::Current(), 1000 + id));
        yield();
        wrong += CurrentId() != 1000 + id;
      }
    }));
  }
  for (auto& child : children) child.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(SpawnTest, DeepAndShallowFramesOfSmallAndLargeStacks) {
  struct Recursion {
    static bool Sees(std::size_t depth) {  // NOLINT(misc-no-recursion)
      volatile char frame[256] = {};
      if (depth == 0) yield();
      const bool below = depth == 0 || Sees(depth - 1);
      return below && CurrentId() == 7 && frame[0] == 0;
    }
  };
  ContextScope scope(Make(7));
  for (const std::size_t size :
       {std::size_t{16} << 10, std::size_t{1} << 20, std::size_t{32} << 20}) {
    bool right = true;
    // Instrumented frames are several times as large.
    const std::size_t deepest = size / 2048;
    Spawn(std::allocator_arg, fibers::fixedsize_stack(size), [&] {
      for (const std::size_t depth : {std::size_t{1}, deepest, std::size_t{2}}) {
        right = right && Recursion::Sees(depth);
      }
    }).join();
    EXPECT_TRUE(right) << "stack of " << size;
  }
}

TEST(SpawnTest, ALongLineIsBuiltAndReleasedOnASmallStack) {
  std::uint64_t last = 0;
  fibers::fiber(std::allocator_arg, fibers::fixedsize_stack(16 * 1024), [&last] {
    Context context;
    for (std::uint64_t i = 1; i <= 1'000'000; ++i) context = Derive(context, i);
    ContextScope scope(std::move(context));
    last = CurrentId();
  }).join();
  EXPECT_EQ(last, 1'000'000);
  EXPECT_EQ(CountedId::live(), 0);
}

// Values are cleaned up in the order of their keys' addresses: one on the heap after ours, when the
// fiber's place is already another fiber's.
TEST(SpawnTest, AScopeInTheCleanupOfAFiberSpecificValueTouchesNobodyElse) {
  struct Curious {
    std::vector<std::uint64_t>* seen;
    ~Curious() {
      ContextScope scope(Make(5));
      seen->push_back(CurrentId());
    }
  };
  static auto* const values = new fibers::fiber_specific_ptr<Curious>;
  const ContextStats before = ContextStats::Read();
  std::vector<std::uint64_t> seen;
  ContextScope scope(Make(7));
  Spawn([&seen] { values->reset(new Curious{&seen}); }).join();
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{0}));
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
  EXPECT_EQ(CurrentId(), 7);
}

// By then Boost has taken the thread's scheduler down.
TEST(SpawnTest, AThreadThatRanFibersHasAContextToItsLastDestructor) {
  static std::uint64_t seen = 99;
  struct Late {
    ~Late() {
      const bool root = CurrentId() == 0;
      ContextScope scope(Make(6));
      seen = root ? CurrentId() : 98;
    }
  };
  std::jthread([] {
    thread_local Late late;  // before the scheduler, hence destroyed after it
    static_cast<void>(&late);
    ContextScope scope(Make(5));
    Spawn([] { yield(); }).join();
  }).join();
  EXPECT_EQ(seen, 6);
}

TEST(SpawnTest, ForeignCoroutinesShareTheirThreadsContextAndAreCounted) {
  using Coroutine = boost::coroutines2::coroutine<std::uint64_t>;
  const ContextStats before = ContextStats::Read();
  ContextScope scope(Make(5));
  Coroutine::pull_type source([](Coroutine::push_type& sink) { sink(CurrentId()); });
  EXPECT_EQ(source.get(), 5);
  source();  // to its end: unwinding a suspended coroutine confuses AddressSanitizer
  EXPECT_GT(ContextStats::Read().foreign_stack, before.foreign_stack);
}

}  // namespace
}  // namespace weft
