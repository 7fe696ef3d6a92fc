// SPDX-License-Identifier: Apache-2.0
#include <weft/context/inheriting.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/future/async.hpp>

#include <weft/context/context_stats.h>

#include "by_priority.h"
#include "fiber_stress.h"

namespace weft {
namespace {

namespace fibers = boost::fibers;
namespace algo = boost::fibers::algo;
using boost::this_fiber::yield;
using fibers::launch;
using testing::ByPriority;
using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::Make;
using testing::Priority;

// On a thread of its own, since a thread's scheduler stays.
template <typename Algorithm, typename Body>
void RunUnder(Body body) {
  std::jthread([&] {
    fibers::use_scheduling_algorithm<Algorithm>();
    body();
  }).join();
}
template <typename Body>
void RunInheriting(Body body) {
  RunUnder<Inheriting<algo::round_robin>>(body);
}

TEST(InheritingTest, FibersThatOthersMakeInherit) {
  RunInheriting([] {
    ContextScope scope(Make(7));
    std::uint64_t posted = 0;
    std::uint64_t dispatched = 0;
    fibers::fiber(launch::post, [&] { posted = CurrentId(); }).join();
    fibers::fiber(launch::dispatch, [&] { dispatched = CurrentId(); }).join();
    EXPECT_EQ(posted, 7);
    EXPECT_EQ(dispatched, 7);
    EXPECT_EQ(fibers::async([] { return CurrentId(); }).get(), 7);
    EXPECT_EQ(CurrentId(), 7);
  });
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(InheritingTest, TheChildKeepsWhatWasCurrentWhenItWasMade) {
  RunInheriting([] {
    std::vector<std::uint64_t> seen;
    fibers::fiber child;
    {
      ContextScope scope(Make(7));
      child = fibers::fiber(launch::post, [&] {
        seen.push_back(CurrentId());
        yield();
        ContextScope own(Derive(Context::Current(), 9));
        fibers::fiber(launch::dispatch, [&] { seen.push_back(CurrentId()); }).join();
      });
    }
    ContextScope later(Make(8));
    child.join();
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{7, 9}));
  });
}

TEST(InheritingTest, AFiberDoesNotAdoptTheContextOfItsWaker) {
  RunInheriting([] {
    fibers::promise<void> wake;
    std::vector<std::uint64_t> seen;
    fibers::fiber parked(launch::dispatch, [&, woken = wake.get_future()]() mutable {
      woken.wait();
      seen.push_back(CurrentId());
    });
    ContextScope scope(Make(7));
    fibers::fiber([&] { wake.set_value(); }).join();
    parked.join();
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{0}));
  });
}

TEST(InheritingTest, AFiberThatOnlyYieldsAdoptsNothingLater) {
  for (const launch policy : {launch::post, launch::dispatch}) {
    RunInheriting([policy] {
      bool stop = false;
      int adopted = 0;
      fibers::fiber yielding(policy, [&] {
        while (!stop) {
          adopted += CurrentId() != 0;
          yield();
        }
      });
      ContextScope scope(Make(7));
      for (int i = 0; i < 10; ++i) {
        yield();
        fibers::fiber(launch::dispatch, [] { yield(); }).join();
        fibers::fiber(launch::post, [] { yield(); }).join();
      }
      stop = true;
      yielding.join();
      EXPECT_EQ(adopted, 0);
    });
  }
}

TEST(InheritingTest, FibersFromBeforeItWasInstalledInheritNothing) {
  std::jthread([] {
    ContextScope scope(Make(7));
    std::uint64_t before = 99;
    std::uint64_t after = 99;
    fibers::fiber first(launch::post, [&] { before = CurrentId(); });
    fibers::use_scheduling_algorithm<Inheriting<algo::round_robin>>();
    fibers::fiber second(launch::post, [&] { after = CurrentId(); });
    first.join();
    second.join();
    EXPECT_EQ(before, 0);
    EXPECT_EQ(after, 7);
  }).join();
}

TEST(InheritingTest, WorksAroundAnAlgorithmWithProperties) {
  RunUnder<Inheriting<ByPriority>>([] {
    ContextScope scope(Make(7));
    std::vector<std::uint64_t> order;
    std::vector<fibers::fiber> children;
    for (std::uint64_t i = 1; i <= 3; ++i) {
      ContextScope own(Make(i));
      children.emplace_back(launch::post, [&] { order.push_back(CurrentId()); });
      children.back().properties<Priority>().Set(static_cast<int>(i));
    }
    for (fibers::fiber& child : children) child.join();
    EXPECT_EQ(order, (std::vector<std::uint64_t>{3, 2, 1}));
  });
}

// The destructor of a value takes its time, and looks at the context.
TEST(InheritingTest, ValuesAreDestroyedOutsideTheEndOfTheFiber) {
  struct Curious {
    std::vector<std::uint64_t>* seen = nullptr;
    explicit Curious(std::vector<std::uint64_t>* to) noexcept : seen(to) {}
    Curious(Curious&& other) noexcept : seen(std::exchange(other.seen, nullptr)) {}
    ~Curious() {
      if (seen == nullptr) return;
      ContextScope scope(Make(5));
      seen->push_back(CurrentId());
    }
  };
  static constexpr ContextKey<Curious> kCuriousKey;
  const ContextStats before = ContextStats::Read();
  std::vector<std::uint64_t> seen;
  RunInheriting([&] {
    fibers::fiber child;
    {
      ContextScope scope(Context().With(kCuriousKey, Curious(&seen)));
      child = fibers::fiber(launch::post, [] { yield(); });
    }
    child.join();
  });
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5}));
  EXPECT_EQ(ContextStats::Read().slots_live, before.slots_live);
}

struct Exceptions {
  int rethrown = 0;
  int wrong = 0;
  int seen_by_innocent = 0;
};

// Two fibers suspend inside a catch block; then one suspends in a destructor during unwinding.
Exceptions SuspendInHandlers() {
  Exceptions result;
  const auto rethrow = [&result](int own) {
    for (int i = 0; i < 100; ++i) {
      try {
        try {
          throw own;
        } catch (int) {
          yield();
          throw;
        }
      } catch (int caught) {
        ++result.rethrown;
        result.wrong += caught != own;
      }
    }
  };
  fibers::fiber first(rethrow, 1);
  fibers::fiber second(rethrow, 2);
  first.join();
  second.join();

  struct Yields {
    ~Yields() { yield(); }
  };
  fibers::fiber unwinding([] {
    for (int i = 0; i < 50; ++i) {
      try {
        Yields yields;
        throw 1;
      } catch (int) {
      }
    }
  });
  fibers::fiber innocent([&result] {
    for (int i = 0; i < 50; ++i) {
      yield();
      result.seen_by_innocent += std::uncaught_exceptions() != 0;
    }
  });
  unwinding.join();
  innocent.join();
  return result;
}

TEST(InheritingTest, BoostAloneMixesUpTheExceptionsOfFibers) {
  Exceptions result;
  RunUnder<algo::round_robin>([&] { result = SuspendInHandlers(); });
  EXPECT_EQ(result.rethrown, 200);
  EXPECT_EQ(result.wrong, 200);
  EXPECT_GT(result.seen_by_innocent, 0);
}

TEST(InheritingTest, FibersKeepTheirExceptions) {
  Exceptions result;
  RunInheriting([&] { result = SuspendInHandlers(); });
  EXPECT_EQ(result.rethrown, 200);
  EXPECT_EQ(result.wrong, 0);
  EXPECT_EQ(result.seen_by_innocent, 0);
}

TEST(InheritingTest, ADispatchedFiberBeginsWithoutTheExceptionsOfItsParent) {
  RunInheriting([] {
    bool clean = false;
    int rethrown = 0;
    try {
      throw 7;
    } catch (int) {
      fibers::fiber child(launch::dispatch, [&] {
        clean = std::current_exception() == nullptr;
        try {
          throw 8;
        } catch (int) {
          yield();
        }
      });
      try {
        throw;
      } catch (int caught) {
        rethrown = caught;
      }
      child.join();
    }
    EXPECT_TRUE(clean);
    EXPECT_EQ(rethrown, 7);
  });
}

}  // namespace
}  // namespace weft
