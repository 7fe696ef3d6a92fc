// SPDX-License-Identifier: Apache-2.0
#include <weft/context/context_stats.h>

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/operations.hpp>

#include <weft/context/bind.h>
#include <weft/context/spawn.h>

#include "counted_id.h"

// Misuse keeps references for ever, on purpose.
extern "C" const char* __lsan_default_options() { return "detect_leaks=0"; }

namespace weft {
namespace {

namespace fibers = boost::fibers;
using boost::this_fiber::yield;
using testing::CurrentId;
using testing::Derive;
using testing::Make;

// The counters of misuse, before and after.
class ContextMisuseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    last_ = std::nullopt;
    SetContextMisuseHandler([](ContextMisuse misuse) noexcept { last_ = misuse; });
  }
  void TearDown() override { SetContextMisuseHandler(nullptr); }

  std::vector<std::uint64_t> Counted() const {
    const ContextStats now = ContextStats::Read();
    return {now.wrong_stack - before_.wrong_stack, now.out_of_order - before_.out_of_order,
            now.stale - before_.stale};
  }

  using Counts = std::vector<std::uint64_t>;
  static inline std::optional<ContextMisuse> last_;
  const ContextStats before_ = ContextStats::Read();
};

TEST_F(ContextMisuseTest, OuterScopeClosedFirst) {
  std::optional<ContextScope> outer;
  std::optional<ContextScope> inner;
  outer.emplace(Make(1));
  inner.emplace(Make(2));
  outer.reset();
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(Counted(), (Counts{0, 1, 0}));
  EXPECT_EQ(last_, ContextMisuse::kOutOfOrder);
  inner.reset();
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(Counted(), (Counts{0, 1, 1}));
  EXPECT_EQ(last_, ContextMisuse::kStale);
}

TEST_F(ContextMisuseTest, CutOffScopeDoesNotDisturbThoseOpenedSince) {
  std::optional<ContextScope> outer;
  std::optional<ContextScope> inner;
  outer.emplace(Make(1));
  inner.emplace(Make(2));
  outer.reset();
  ContextScope third(Make(3));
  {
    ContextScope fourth(Make(4));
    inner.reset();
    EXPECT_EQ(CurrentId(), 4);
  }
  EXPECT_EQ(CurrentId(), 3);
  EXPECT_EQ(Counted(), (Counts{0, 1, 1}));
}

TEST_F(ContextMisuseTest, ScopeClosedOnAnotherThread) {
  std::optional<ContextScope> around;
  around.emplace(Make(1));
  std::optional<ContextScope> inner;
  inner.emplace(Make(2));
  std::uint64_t seen = 99;
  std::jthread([&] {
    ContextScope own(Make(7));
    inner.reset();
    seen = CurrentId();
  }).join();
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(CurrentId(), 2);  // kept alive on purpose
  EXPECT_EQ(Counted(), (Counts{1, 0, 0}));
  EXPECT_EQ(last_, ContextMisuse::kWrongStack);
  around.reset();
  EXPECT_EQ(CurrentId(), 0);
}

TEST_F(ContextMisuseTest, ScopeThatABoundFunctionLeavesOpen) {
  std::optional<ContextScope> left_open;
  {
    auto bound = Bind(Make(1), [&] {
      left_open.emplace(Derive(Context::Current(), 2));
      return CurrentId();
    });
    EXPECT_EQ(bound(), 2);
    EXPECT_EQ(CurrentId(), 0);
    EXPECT_EQ(Counted(), (Counts{0, 1, 0}));
  }
  left_open.reset();  // nothing of the bound context is left
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(Counted(), (Counts{0, 1, 1}));
}

TEST_F(ContextMisuseTest, ABoundFunctionClosesAScopeAroundIt) {
  std::optional<ContextScope> around(std::in_place, Make(1));
  Bind(Make(2), [&] {
    const ContextScope inner(Make(3));
    around.reset();
    EXPECT_EQ(CurrentId(), 0);
  })();
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(Counted(), (Counts{0, 1, 2}));
}

TEST_F(ContextMisuseTest, RightUseIsNotCounted) {
  ContextScope outer(Make(1));
  { ContextScope inner(Make(2)); }
  EXPECT_EQ(CurrentId(), 1);
  EXPECT_EQ(Counted(), (Counts{0, 0, 0}));
  EXPECT_EQ(last_, std::nullopt);
}

TEST_F(ContextMisuseTest, ScopeThatOutlivesItsFiberHarmsNobody) {
  std::optional<ContextScope> lost;
  Spawn([&] { lost.emplace(Make(1)); }).join();
  // The next fiber gets the same place, and as many open scopes.
  ContextScope scope(Make(7));
  std::uint64_t seen = 99;
  Spawn([&] {
    lost.reset();
    seen = CurrentId();
  }).join();
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(Counted(), (Counts{0, 0, 1}));
}

TEST_F(ContextMisuseTest, ScopeClosedOnAnotherFiber) {
  std::optional<ContextScope> scope;
  std::uint64_t owner_sees = 99;
  fibers::fiber owner([&] {
    scope.emplace(Make(1));
    yield();
    yield();
    owner_sees = CurrentId();
  });
  fibers::fiber other([&] {
    yield();
    scope.reset();
  });
  owner.join();
  other.join();
  EXPECT_EQ(owner_sees, 1);
  EXPECT_EQ(Counted(), (Counts{1, 0, 0}));
}

}  // namespace
}  // namespace weft
