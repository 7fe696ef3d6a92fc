// SPDX-License-Identifier: Apache-2.0
#include <weft/context/context_scope.h>

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstdlib>
#include <thread>
#include <type_traits>

#include "counted_id.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::CurrentId;
using testing::Derive;
using testing::Make;

static_assert(std::is_nothrow_constructible_v<ContextScope, Context>);
static_assert(!std::is_convertible_v<Context, ContextScope>);
static_assert(!std::is_copy_constructible_v<ContextScope>);
static_assert(!std::is_move_constructible_v<ContextScope>);

template <typename T>
concept MadeByNew = requires {
  new T(Context());
};
static_assert(!MadeByNew<ContextScope>);

// Values seen before main and after it, by objects with static storage.
const std::uint64_t seen_before_main = [] {
  ContextScope scope(Make(3));
  return CurrentId();
}();

constexpr int kRightAtExit = 42;
bool exit_is_tested = false;
struct AtExit {
  ~AtExit() {
    bool right = CurrentId() == 0;
    ContextScope scope(Make(4));
    right = right && CurrentId() == 4;
    if (!right) std::_Exit(1);
    if (exit_is_tested) std::_Exit(kRightAtExit);
  }
} at_exit;

TEST(ContextScopeTest, MakesItsContextCurrentUntilTheEndOfTheBlock) {
  EXPECT_EQ(CurrentId(), 0);
  {
    ContextScope outer(Make(1));
    EXPECT_EQ(CurrentId(), 1);
    {
      ContextScope inner(Derive(Context::Current(), 2));
      EXPECT_EQ(CurrentId(), 2);
    }
    EXPECT_EQ(CurrentId(), 1);
  }
  EXPECT_EQ(CurrentId(), 0);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(ContextScopeTest, OfTheRootHidesTheOuterContext) {
  ContextScope outer(Make(1));
  {
    ContextScope inner{Context()};
    EXPECT_EQ(CurrentId(), 0);
    EXPECT_FALSE(Context::Current());
  }
  EXPECT_EQ(CurrentId(), 1);
}

TEST(ContextScopeTest, RestoresOnReturnAndOnException) {
  ContextScope outer(Make(1));
  [] {
    ContextScope inner(Make(2));
    if (CurrentId() == 2) return;
    FAIL();
  }();
  EXPECT_EQ(CurrentId(), 1);
  try {
    ContextScope inner(Make(2));
    throw 1;
  } catch (int) {
    EXPECT_EQ(CurrentId(), 1);
  }
}

TEST(ContextScopeTest, KeepsTheContextWhenTheCallersCopyGoes) {
  Context context = Make(1);
  ContextScope scope(context);
  context = Context();
  EXPECT_EQ(CurrentId(), 1);
}

TEST(ContextScopeTest, IsSeenInDeepAndShallowFrames) {
  ContextScope scope(Make(1));
  struct Recursion {
    static bool Sees(int depth) {  // NOLINT(misc-no-recursion)
      volatile char frame[512] = {};
      const bool below = depth == 0 || Sees(depth - 1);
      return below && CurrentId() == 1 && frame[0] == 0;
    }
  };
  EXPECT_TRUE(Recursion::Sees(1));
  EXPECT_TRUE(Recursion::Sees(1000));
  EXPECT_TRUE(Recursion::Sees(1));
}

TEST(ContextScopeTest, WorksInTheLowerPartOfAStackAbove16MiB) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, std::size_t{40} << 20), 0);
  pthread_t thread;
  auto body = [](void* result) -> void* {
    ContextScope outer(Make(1));
    volatile char frame[20 << 20];
    frame[0] = 0;
    auto below = [](volatile char*) {
      ContextScope inner(Derive(Context::Current(), CurrentId() + 1));
      return CurrentId();
    };
    *static_cast<std::uint64_t*>(result) = below(frame) * 10 + CurrentId();
    return nullptr;
  };
  std::uint64_t result = 0;
  ASSERT_EQ(pthread_create(&thread, &attributes, body, &result), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  EXPECT_EQ(result, 21);
}

TEST(ContextScopeTest, BelongsToItsThread) {
  ContextScope scope(Make(1));
  std::uint64_t seen = 99;
  std::jthread([&] {
    seen = CurrentId();
    ContextScope other(Make(2));
  }).join();
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(CurrentId(), 1);
}

TEST(ContextScopeTest, WorksBeforeMain) { EXPECT_EQ(seen_before_main, 3); }

TEST(ContextScopeDeathTest, WorksInStaticDestructors) {
  const auto leave = [] {
    exit_is_tested = true;
    std::exit(0);
  };
  EXPECT_EXIT(leave(), ::testing::ExitedWithCode(kRightAtExit), "");
}

TEST(ContextScopeTest, WorksInDestructorsOfThreadLocals) {
  static std::uint64_t seen = 99;
  struct Late {
    ~Late() {
      const bool root = CurrentId() == 0;
      ContextScope scope(Make(6));
      seen = root ? CurrentId() : 98;
    }
  };
  std::jthread([] {
    thread_local Late late;
    static_cast<void>(&late);
    ContextScope scope(Make(5));
  }).join();
  EXPECT_EQ(seen, 6);
}

}  // namespace
}  // namespace weft
