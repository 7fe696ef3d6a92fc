// SPDX-License-Identifier: Apache-2.0
#include <weft/async/internal/queue_tag.h>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace weft {
namespace {

using internal::MakeCallableTag;
using internal::MakeTag;
using internal::TakeTag;

constexpr ContextKey<std::shared_ptr<int>> kNumberKey;

Context Numbered(int number) { return Context().With(kNumberKey, std::make_shared<int>(number)); }
int NumberOf(ContextView context) {
  const auto* const number = context.Find(kNumberKey);
  return number != nullptr ? **number : 0;
}

// The number of the context of a tag that points to `operation`.
int Take(void* tag, const void* operation) {
  void* taken = nullptr;
  Context context;
  EXPECT_TRUE(TakeTag(tag, true, &taken, &context));
  EXPECT_EQ(taken, operation);
  return NumberOf(context);
}

void RunTag(void* tag) {
  void* operation = nullptr;
  Context context;
  EXPECT_FALSE(TakeTag(tag, true, &operation, &context));
}

TEST(QueueTagTest, ComesBackAfterItsThreadHasEnded) {
  constexpr int kTags = 1000;
  std::vector<void*> tags;
  std::jthread([&] {
    for (int i = 0; i < kTags; ++i) tags.push_back(MakeTag(Numbered(i), &tags));
  }).join();
  for (int i = 0; i < kTags; ++i) EXPECT_EQ(Take(tags[i], &tags), i);
}

TEST(QueueTagTest, MemoryThatAnotherThreadGaveBackIsUsedAgain) {
  constexpr int kOutstanding = 100;
  std::set<void*> addresses;
  for (int round = 0; round < 200; ++round) {
    std::vector<void*> tags;
    for (int i = 0; i < kOutstanding; ++i) tags.push_back(MakeTag(Context(), nullptr));
    addresses.insert(tags.begin(), tags.end());
    std::jthread([&tags] {
      for (void* tag : tags) Take(tag, nullptr);
    }).join();
  }
  EXPECT_LT(addresses.size(), 20 * kOutstanding);
}

TEST(QueueTagTest, OneThatStaysOutKeepsLittleFromUse) {
  std::set<void*> addresses;
  void* const waiting = MakeTag(Numbered(7), &addresses);
  for (int i = 0; i < 100'000; ++i) {
    void* const tag = MakeTag(Context(), nullptr);
    addresses.insert(tag);
    Take(tag, nullptr);
  }
  EXPECT_FALSE(addresses.contains(waiting));
  EXPECT_LT(addresses.size(), 1000U);
  EXPECT_EQ(Take(waiting, &addresses), 7);
}

template <std::size_t size>
void* TagOfSize(int number, std::multiset<int>& ran) {
  std::array<std::byte, size> data;
  data.fill(std::byte{size});
  return MakeCallableTag(Numbered(number), [data, &ran](bool) {
    for (const std::byte byte : data) EXPECT_EQ(byte, std::byte{size});
    ran.insert(NumberOf(Context::View()));
  });
}

TEST(QueueTagTest, CallablesOfAllSizesLieBesideEachOther) {
  std::multiset<int> ran;
  std::vector<void*> tags;
  for (int round = 0; round < 50; ++round) {
    tags.push_back(TagOfSize<1>(1, ran));
    tags.push_back(TagOfSize<40>(2, ran));
    tags.push_back(TagOfSize<104>(3, ran));
    tags.push_back(TagOfSize<105>(4, ran));
    tags.push_back(TagOfSize<200>(5, ran));
  }
  for (void* tag : tags) RunTag(tag);
  for (int number = 1; number <= 5; ++number) EXPECT_EQ(ran.count(number), 50U);
}

TEST(QueueTagTest, ACallableThatThrowsWhenItIsCopiedLeavesNothing) {
  struct Throws {
    Throws() = default;
    Throws(const Throws&) { throw 1; }
    void operator()(bool) const {}
  };
  const Throws throws;
  const auto held = std::make_shared<int>(1);
  EXPECT_THROW(MakeCallableTag(Context().With(kNumberKey, held), throws), int);
  EXPECT_EQ(held.use_count(), 1);
}

// Threads that make tags for one another, of which some stay out for long.
class TagExchange {
 public:
  void* Replace(void* tag, std::size_t place) {
    const std::lock_guard lock(mutex_);
    return std::exchange(tags_[place % tags_.size()], tag);
  }

  void Run(std::uint32_t seed) {
    for (int i = 1; i <= 20'000; ++i) {
      seed = seed * 1664525 + 1013904223;
      auto* const number = new int(i);
      void* const other = Replace(MakeTag(Numbered(i), number), seed >> 16);
      if (other != nullptr) Check(other);
    }
  }
  void Check(void* tag) {
    void* operation = nullptr;
    Context context;
    TakeTag(tag, true, &operation, &context);
    const std::unique_ptr<int> number(static_cast<int*>(operation));
    wrong_ += NumberOf(context) != *number;
    ++taken_;
  }
  void CheckRest() {
    for (void*& tag : tags_) {
      if (tag != nullptr) Check(std::exchange(tag, nullptr));
    }
  }
  int wrong() const { return wrong_; }
  int taken() const { return taken_; }

 private:
  std::mutex mutex_;
  std::array<void*, 700> tags_{};
  std::atomic<int> wrong_ = 0;
  std::atomic<int> taken_ = 0;
};

TEST(QueueTagTest, ManyThreadsGiveBackWhatOthersMade) {
  TagExchange exchange;
  std::vector<std::jthread> threads;
  for (std::uint32_t i = 0; i < 4; ++i) threads.emplace_back([&exchange, i] { exchange.Run(i); });
  threads.clear();
  exchange.CheckRest();
  EXPECT_EQ(exchange.wrong(), 0);
  EXPECT_EQ(exchange.taken(), 80'000);
}

// Its destructor runs when the thread's own tags are gone.
struct AtExit {
  ~AtExit() {
    for (int i = 0; i < 200; ++i) EXPECT_EQ(Take(MakeTag(Numbered(i), this), this), i);
    ended = true;
  }
  static inline bool ended = false;
};

TEST(QueueTagTest, MayBeMadeAndTakenAtTheEndOfAThread) {
  std::jthread([] {
    static thread_local const AtExit at_exit;
    static_cast<void>(&at_exit);
    Take(MakeTag(Context(), nullptr), nullptr);  // after it, so that what they need is gone before
  }).join();
  EXPECT_TRUE(AtExit::ended);
}

}  // namespace
}  // namespace weft
