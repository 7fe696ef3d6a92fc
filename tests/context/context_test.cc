// SPDX-License-Identifier: Apache-2.0
#include <weft/context/context.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "counted_id.h"

namespace weft {
namespace {

using testing::CountedId;
using testing::Derive;
using testing::kIdKey;
using testing::Make;

constexpr ContextKey<std::string> kNameKey;
constexpr ContextKey<std::string> kCityKey;
constexpr ContextKey<std::unique_ptr<int>> kBoxKey;

static_assert(sizeof(Context) == 8);
static_assert(std::is_nothrow_default_constructible_v<Context>);
static_assert(std::is_nothrow_copy_constructible_v<Context>);
static_assert(std::is_nothrow_copy_assignable_v<Context>);
static_assert(std::is_nothrow_move_constructible_v<Context>);
static_assert(std::is_nothrow_move_assignable_v<Context>);
static_assert(std::is_trivially_copyable_v<ContextView>);
static_assert(noexcept(Context::Current()) && noexcept(Context::View()));
static_assert(noexcept(Context().With(kNameKey, std::declval<std::string>())));
static_assert(noexcept(Context().Find(kNameKey)));

TEST(ContextTest, HoldsNothingByDefault) {
  const Context root;
  EXPECT_FALSE(root);
  EXPECT_EQ(root.Find(kIdKey), nullptr);
  EXPECT_EQ(root.Find(kNameKey), nullptr);
  EXPECT_EQ(ContextView().Find(kNameKey), nullptr);
}

TEST(ContextTest, FindsWhatWasSetLast) {
  const Context first = Make(1).With(kNameKey, "ada").With(kCityKey, "turin");
  const Context second = Derive(first, 2).With(kNameKey, "eve");
  EXPECT_EQ(second.Find(kIdKey)->id(), 2);
  EXPECT_EQ(*second.Find(kNameKey), "eve");
  EXPECT_EQ(*second.Find(kCityKey), "turin");
}

TEST(ContextTest, DerivingLeavesTheOriginalAlone) {
  const Context original = Make(1).With(kNameKey, "ada");
  const Context derived = Derive(original, 2).With(kNameKey, "eve").With(kCityKey, "turin");
  EXPECT_EQ(original.Find(kIdKey)->id(), 1);
  EXPECT_EQ(*original.Find(kNameKey), "ada");
  EXPECT_EQ(original.Find(kCityKey), nullptr);
  EXPECT_NE(original, derived);
}

TEST(ContextTest, HoldsWhatCannotBeCopied) {
  const Context context = Context().With(kBoxKey, std::make_unique<int>(7));
  const Context copy = context;
  EXPECT_EQ(**copy.Find(kBoxKey), 7);
  EXPECT_EQ(copy, context);
}

TEST(ContextTest, KeepsItsAncestorsUntilTheLastCopyGoes) {
  Context last;
  {
    const Context parent = Make(1);
    last = parent.With(kNameKey, "ada");
  }
  EXPECT_EQ(last.Find(kIdKey)->id(), 1);
  EXPECT_EQ(CountedId::live(), 1);
  const Context copy = std::move(last);
  EXPECT_EQ(CountedId::live(), 1);
  last = Context();
  EXPECT_EQ(copy.Find(kIdKey)->id(), 1);
}

TEST(ContextTest, ReleasesEveryValueOnce) {
  {
    const Context a = Make(1);
    const Context b = Derive(a, 2);
    const Context c = Derive(a, 3);
    EXPECT_EQ(CountedId::live(), 3);
  }
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(ContextTest, LetsGoOfHiddenValuesInALongLoop) {
  Context context = Context().With(kNameKey, "ada").With(kBoxKey, std::make_unique<int>(7));
  std::int64_t most = 0;
  for (std::uint64_t i = 1; i <= 1'000'000; ++i) {
    context = Derive(context, i);
    most = std::max(most, CountedId::live());
  }
  EXPECT_LT(most, 130);
  EXPECT_EQ(context.Find(kIdKey)->id(), 1'000'000);
  EXPECT_EQ(*context.Find(kNameKey), "ada");
  EXPECT_EQ(**context.Find(kBoxKey), 7);
  context = Context();
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(ContextTest, ShowsTheNearestValueOfEachKeyAtEveryDepth) {
  std::vector<std::unique_ptr<ContextKey<int>>> keys;
  for (int i = 0; i < 10; ++i) keys.push_back(std::make_unique<ContextKey<int>>());
  std::vector<int> expected(keys.size(), -1);
  std::vector<Context> contexts(1);
  for (int i = 0; i < 1000; ++i) {
    const std::size_t key = static_cast<std::size_t>(i * 7 + i / 13) % keys.size();
    contexts.push_back(contexts.back().With(*keys[key], i));
    expected[key] = i;
    for (std::size_t k = 0; k < keys.size(); ++k) {
      const int* const found = contexts.back().Find(*keys[k]);
      ASSERT_EQ(found != nullptr ? *found : -1, expected[k]) << "at depth " << i;
    }
  }
}

// A value that has the memory for its node.
struct Owner {
  std::optional<internal::EmbeddedNode<std::shared_ptr<Owner>>> memory;
  CountedId counted{7};
};
constexpr ContextKey<std::shared_ptr<Owner>> kOwnerKey;

TEST(ContextTest, EmbedsTheNodeInWhatTheValueOwns) {
  auto owner = std::make_shared<Owner>();
  const std::weak_ptr<Owner> watch = owner;
  Context below;
  {
    const Context parent = Context().With(kNameKey, "ada");
    auto& memory = owner->memory;
    const Context context = Context::Embed(parent, kOwnerKey, std::move(owner), memory);
    EXPECT_EQ(*context.Find(kNameKey), "ada");
    EXPECT_EQ(*context.Find(kOwnerKey), watch.lock());
    below = context.With(kCityKey, "london");
  }
  // Far below its node is let go of, but not its value.
  for (int i = 0; i < 200; ++i) below = below.With(kCityKey, "paris");
  EXPECT_EQ(below.Find(kOwnerKey)->get()->counted.id(), 7u);
  below = Context();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(ContextTest, WithoutHidesAKeyFromThoseBelowOnly) {
  const Context with = Make(1).With(kNameKey, "ada").With(kCityKey, "turin");
  const Context without = with.Without(kNameKey).Without(kIdKey);
  EXPECT_EQ(without.Find(kNameKey), nullptr);
  EXPECT_EQ(without.Find(kIdKey), nullptr);
  EXPECT_EQ(*without.Find(kCityKey), "turin");
  EXPECT_EQ(*with.Find(kNameKey), "ada");
  EXPECT_EQ(with.Find(kIdKey)->id(), 1);
  const Context again = Derive(without, 2).With(kNameKey, "bea");
  EXPECT_EQ(*again.Find(kNameKey), "bea");
  EXPECT_EQ(again.Find(kIdKey)->id(), 2);
}

TEST(ContextTest, WithoutAKeyThatHasNoValueIsTheSameContext) {
  const Context context = Make(1);
  EXPECT_EQ(context.Without(kNameKey), context);
  EXPECT_EQ(Context().Without(kIdKey), Context());
  const Context without = context.Without(kIdKey);
  EXPECT_EQ(without.Without(kIdKey), without);
}

TEST(ContextTest, WithoutHidesAndLetsGoAtEveryDepth) {
  const Context base = Make(1).With(kNameKey, "ada");
  for (int depth = 0; depth < 200; ++depth) {
    Context context = base;
    for (int i = 0; i < depth; ++i) context = context.With(kCityKey, std::to_string(i));
    context = context.Without(kNameKey).Without(kIdKey);
    for (int i = 0; i < 70; ++i) {
      ASSERT_EQ(context.Find(kNameKey), nullptr) << depth << " levels above, " << i << " below";
      ASSERT_EQ(context.Find(kIdKey), nullptr) << depth << " levels above, " << i << " below";
      context = context.With(kCityKey, "turin");
    }
    EXPECT_EQ(*context.With(kNameKey, "bea").Find(kNameKey), "bea");
  }
  Context last = base.Without(kIdKey);
  for (int i = 0; i < 200; ++i) last = last.Without(kNameKey).With(kNameKey, std::to_string(i));
  EXPECT_EQ(*last.Find(kNameKey), "199");
  EXPECT_EQ(CountedId::live(), 1);
}

// Two lines from one ancestor flatten it independently and die in either order.
TEST(ContextTest, KeepsPinnedValuesForEachDescendant) {
  Context base = Make(1);
  for (int i = 0; i < 200; ++i) base = base.With(kNameKey, std::to_string(i));
  Context left = base;
  Context right = base;
  for (int i = 0; i < 100; ++i) {
    left = left.With(kCityKey, "left");
    right = right.With(kCityKey, "right");
  }
  base = Context();
  left = Context();
  EXPECT_EQ(right.Find(kIdKey)->id(), 1);
  EXPECT_EQ(*right.Find(kNameKey), "199");
  EXPECT_EQ(CountedId::live(), 1);
  right = Context();
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(ContextTest, IsSharedByThreadsWithoutLosingOrFreeingIt) {
  const Context shared = Make(1).With(kNameKey, "ada");
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([shared] {
      for (int i = 0; i < 20'000; ++i) {
        const Context copy = shared;
        const Context derived = copy.With(kCityKey, "turin");
        ASSERT_EQ(*derived.Find(kNameKey), "ada");
      }
    });
  }
  threads.clear();
  EXPECT_EQ(shared.Find(kIdKey)->id(), 1);
  EXPECT_EQ(CountedId::live(), 1);
}

}  // namespace
}  // namespace weft
