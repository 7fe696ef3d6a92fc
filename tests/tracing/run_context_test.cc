// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_context.h>

#include <barrier>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace weft {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

constexpr std::int64_t kStart = 1'789'000'000'000'000;  // 2026-09-10T00:26:40

static_assert(std::is_nothrow_copy_constructible_v<RunContext>);
static_assert(std::is_nothrow_move_constructible_v<RunContext>);

system_clock::time_point At(std::int64_t micros) {
  return system_clock::time_point(microseconds(micros));
}

RunId Id(std::uint8_t last) {
  RunId id = *RunId::Parse("01a0b35e-7a00-7000-8000-000000000000");
  id.bytes[15] = last;
  return id;
}

std::string LastTime(const RunContext& run) {
  return std::string(run.dotted_order().substr(run.dotted_order().size() - 58, 22));
}

TEST(RunContextTest, ARootIsItsOwnTrace) {
  const RunContext root = RunContext::Root(Id(1), At(kStart + 7), nullptr);
  EXPECT_EQ(root.dotted_order(), "20260910T002640000007Z01a0b35e-7a00-7000-8000-000000000001");
  EXPECT_EQ(root.id(), Id(1));
  EXPECT_EQ(root.trace_id(), Id(1));
  EXPECT_EQ(root.parent_id(), std::nullopt);
  EXPECT_FALSE(root.is_remote());
  EXPECT_TRUE(root.sampled());
}

TEST(RunContextTest, AChildAppendsItsSegment) {
  const RunContext root = RunContext::Root(Id(1), At(kStart), nullptr);
  const RunContext child = root.Child(Id(2), At(kStart + 1'500'000));
  EXPECT_EQ(child.dotted_order(),
            "20260910T002640000000Z01a0b35e-7a00-7000-8000-000000000001."
            "20260910T002641500000Z01a0b35e-7a00-7000-8000-000000000002");
  EXPECT_EQ(child.trace_id(), Id(1));
  EXPECT_EQ(child.parent_id(), Id(1));
}

TEST(RunContextTest, WritesTheEdgesOfTheCalendar) {
  EXPECT_EQ(LastTime(RunContext::Root(Id(1), At(0), nullptr)), "19700101T000000000000Z");
  EXPECT_EQ(LastTime(RunContext::Root(Id(1), At(-1), nullptr)), "19691231T235959999999Z");
  EXPECT_EQ(LastTime(RunContext::Root(Id(1), At(951'782'400'000'000), nullptr)),
            "20000229T000000000000Z");
}

TEST(RunContextTest, ChildrenOfOneParentNeverShareATime) {
  const RunContext root = RunContext::Root(Id(1), At(kStart), nullptr);
  EXPECT_EQ(LastTime(root.Child(Id(2), At(kStart + 5))), "20260910T002640000005Z");
  EXPECT_EQ(LastTime(root.Child(Id(3), At(kStart + 5))), "20260910T002640000006Z");
  EXPECT_EQ(LastTime(root.Child(Id(4), At(kStart + 9))), "20260910T002640000009Z");
}

TEST(RunContextTest, AnotherSamplingDecisionIsTheSameParent) {
  const RunContext root = RunContext::Root(Id(1), At(kStart), nullptr);
  const RunContext unsampled = root.WithSampled(false);
  EXPECT_EQ(root, unsampled);
  EXPECT_FALSE(unsampled.Child(Id(2), At(kStart)).sampled());
  EXPECT_TRUE(root.sampled());
  EXPECT_EQ(LastTime(root.Child(Id(3), At(kStart))), "20260910T002640000001Z");
}

TEST(RunContextTest, ConcurrentChildrenNeverShareATime) {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kEach = 2'000;
  const RunContext root = RunContext::Root(Id(1), At(kStart), nullptr);
  std::vector<std::vector<std::string>> times(kThreads);
  std::barrier together(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : times) {
    threads.emplace_back([&] {
      together.arrive_and_wait();
      for (std::size_t i = 0; i < kEach; ++i) {
        mine.push_back(LastTime(root.Child(Id(2), At(kStart))));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> distinct;
  for (const auto& mine : times) distinct.insert(mine.begin(), mine.end());
  EXPECT_EQ(distinct.size(), kThreads * kEach);
}

TEST(RunContextTest, AChildThatStartsBeforeItsParentGetsTheParentsTime) {
  const RunContext root = RunContext::Root(Id(1), At(kStart), nullptr);
  EXPECT_EQ(LastTime(root.Child(Id(2), At(kStart - 1'000'000))), "20260910T002640000000Z");
}

TEST(RunContextTest, ARemoteParentKeepsItsTextAndClampsItsChildren) {
  const std::string text =
      "20230914T223155647Z1b64098b-4ab7-43f6-afee-992304f198d8."
      "20230914T223155649Z809ED3A2-0172-4f4d-8a02-a64e9b7a0f8a";
  const RunContext remote = RunContext::Remote(text, nullptr);
  EXPECT_EQ(remote.dotted_order(), text);
  EXPECT_TRUE(remote.is_remote());
  EXPECT_EQ(remote.id().ToString(), "809ed3a2-0172-4f4d-8a02-a64e9b7a0f8a");
  EXPECT_EQ(remote.trace_id().ToString(), "1b64098b-4ab7-43f6-afee-992304f198d8");
  EXPECT_EQ(remote.parent_id(), remote.trace_id());
  const RunContext child = remote.Child(Id(2), At(0));
  EXPECT_EQ(LastTime(child), "20230914T223155649000Z");
  EXPECT_FALSE(child.is_remote());
  EXPECT_EQ(child.trace_id(), remote.trace_id());
}

TEST(RunContextTest, WhatIsNoDottedOrderIsNoRemoteParent) {
  EXPECT_FALSE(RunContext::Remote("not-a-dotted-order", nullptr));
}

TEST(RunContextTest, TheLastTimeOfTheCalendarHasRoomForChildren) {
  const RunContext remote =
      RunContext::Remote("99991231T235959999999Z01a0b35e-7a00-7000-8000-000000000001", nullptr);
  EXPECT_EQ(LastTime(remote.Child(Id(2), At(kStart))), "99991231T235959999999Z");
  EXPECT_EQ(LastTime(remote.Child(Id(3), At(kStart))), "99991231T235959999999Z");
}

TEST(RunContextTest, TheEmptyContextIsNoRun) {
  const RunContext none;
  EXPECT_FALSE(none);
  EXPECT_TRUE(none.id().IsNil());
  EXPECT_EQ(none.dotted_order(), "");
  EXPECT_EQ(none.baggage_header(), "");
  EXPECT_TRUE(none.baggage().tags.empty());
  EXPECT_EQ(none.Child(Id(1), At(kStart)).dotted_order(),
            RunContext::Root(Id(1), At(kStart), nullptr).dotted_order());
}

TEST(RunContextTest, ChildrenShareBaggageAndItsHeader) {
  auto baggage = std::make_shared<TraceBaggage>();
  baggage->project = "checkout";
  const RunContext root = RunContext::Root(Id(1), At(kStart), baggage);
  const RunContext child = root.Child(Id(2), At(kStart));
  EXPECT_EQ(child.baggage_header(), "langsmith-project=checkout");
  EXPECT_EQ(child.baggage_header().data(), root.baggage_header().data());
  auto other = std::make_shared<TraceBaggage>(*baggage);
  other->tags = {"a", "b"};
  EXPECT_EQ(root.Child(Id(3), At(kStart), other).baggage_header(),
            "langsmith-tags=a%2Cb,langsmith-project=checkout");
}

TEST(RunContextTest, ConcurrentReadersOfTheBaggageHeaderSeeOneString) {
  for (int round = 0; round < 200; ++round) {
    auto baggage = std::make_shared<TraceBaggage>();
    baggage->metadata["user"] = "u-17";
    const RunContext root = RunContext::Root(Id(1), At(kStart), baggage);
    std::barrier together(2);
    const char* seen[2] = {};
    std::thread other([&] {
      together.arrive_and_wait();
      seen[0] = root.baggage_header().data();
    });
    together.arrive_and_wait();
    seen[1] = root.baggage_header().data();
    other.join();
    ASSERT_EQ(seen[0], seen[1]);
  }
}

}  // namespace
}  // namespace weft
