// SPDX-License-Identifier: Apache-2.0
// What is held of traces that are out of the sample, by itself.
#include "promotion_buffer.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace weft {
namespace {

/// False: the trace is kept.
bool Hold(internal::PromotionBuffer& buffer, internal::HeldTrace& trace,
          const RunContext& context) {
  RunRecord record;
  record.context = context;
  internal::HeldRun ended(std::move(record), /*redacted=*/false);
  return buffer.Hold(trace, ended, /*joined=*/nullptr);
}

TEST(PromotionBufferTest, ForgetsTracesThatNobodyRefersTo) {
  internal::PromotionBuffer buffer(1 << 20);
  const auto now = std::chrono::system_clock::now();
  const RunContext root = RunContext::Root(RunId::New(now), now, nullptr);
  auto trace = buffer.Of(root.trace_id(), false);
  EXPECT_EQ(buffer.Of(root.trace_id(), false), trace);
  trace = nullptr;
  trace = buffer.Of(root.trace_id(), false);
  EXPECT_TRUE(Hold(buffer, *trace, root));
  // Held, so remembered without its runs in progress.
  const internal::HeldTrace* const address = trace.get();
  trace = nullptr;
  EXPECT_EQ(buffer.Of(root.trace_id(), false).get(), address);
  EXPECT_GT(buffer.counts().bytes, sizeof(internal::HeldRun));
}

TEST(PromotionBufferTest, FindsTracesOfThisProcessAndOfCallersWhateverTheirIds) {
  internal::PromotionBuffer buffer(1 << 20);
  std::vector<std::shared_ptr<internal::HeldTrace>> traces;
  const auto id_of = [](std::size_t i) {
    RunId id;
    id.bytes[15] = static_cast<std::uint8_t>(i + 1);
    return id;
  };
  for (std::size_t i = 0; i < 200; ++i) {
    const bool begins_here = i % 2 == 0;
    traces.push_back(buffer.Of(id_of(i), begins_here));
    if (begins_here) {
      EXPECT_TRUE(Hold(buffer, *traces.back(), RunContext::Root(id_of(i), {}, nullptr)));
    }
  }
  // Out of the middle, from both ends.
  for (std::size_t i = 50; i < 150; ++i) {
    EXPECT_EQ(buffer.Of(id_of(i), false), traces[i]) << i;
    buffer.Promote(*traces[i]);
    traces[i] = nullptr;
  }
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_EQ(buffer.Of(id_of(i), false)->kept(), i >= 50 && i < 150) << i;
    if (!traces[i]) continue;
    EXPECT_EQ(buffer.Of(id_of(i), false), traces[i]) << i;
  }
}

TEST(PromotionBufferTest, GivesTheRunsOfATraceOldestFirst) {
  internal::PromotionBuffer buffer(1 << 20);
  const RunContext root = RunContext::Root(RunId::New({}), {}, nullptr);
  const auto trace = buffer.Of(root.trace_id(), true);
  std::vector<RunId> ended;
  for (int i = 0; i < 50; ++i) {
    const RunContext child = root.Child(RunId::New({}), {});
    ended.push_back(child.id());
    EXPECT_TRUE(Hold(buffer, *trace, child));
    EXPECT_GT(buffer.counts().bytes, ended.size() * sizeof(internal::HeldTraceRuns::Entry));
  }
  internal::HeldTraceRuns held = buffer.Promote(*trace);
  EXPECT_EQ(held.size(), 50u);
  std::vector<RunId> given;
  std::move(held).TakeAll(
      [&](internal::HeldRun&& run) { given.push_back(std::move(run).Restore().context.id()); });
  EXPECT_EQ(given, ended);
}

TEST(PromotionBufferTest, GivesRunsBackAsWhoTheyWereWhateverIsAboveThem) {
  internal::PromotionBuffer buffer(1 << 20);
  const auto now = std::chrono::system_clock::now();
  const RunContext caller =
      RunContext::Remote("20260102T030400000Z019b7c5a-7a00-7a11-9a22-0123456789ab", nullptr);
  const auto trace = buffer.Of(caller.trace_id(), false);
  std::vector<RunContext> ended;
  const auto end = [&](const RunContext& run) {
    ended.push_back(run);
    EXPECT_TRUE(Hold(buffer, *trace, run));
  };
  const RunContext root = caller.Child(RunId::New(now), now).WithSampled(false);
  for (int i = 0; i < 30; ++i) {
    auto baggage = std::make_shared<TraceBaggage>();
    baggage->project = "project " + std::to_string(i);
    const RunContext step = root.Child(RunId::New(now), now, i % 3 == 0 ? baggage : nullptr);
    for (int j = 0; j < 3; ++j) {
      const RunContext inner = step.Child(RunId::New(now), now);
      if (j == 1) end(inner.Child(RunId::New(now), now));
      end(inner);
    }
    end(step);
  }
  end(root);
  std::vector<RunContext> given;
  buffer.Promote(*trace).TakeAll(
      [&](internal::HeldRun&& run) { given.push_back(std::move(run).Restore().context); });
  ASSERT_EQ(given.size(), ended.size());
  for (std::size_t i = 0; i < ended.size(); ++i) {
    EXPECT_EQ(given[i].dotted_order(), ended[i].dotted_order());
    EXPECT_EQ(given[i].id(), ended[i].id());
    EXPECT_EQ(given[i].trace_id(), ended[i].trace_id());
    EXPECT_EQ(given[i].parent_id(), ended[i].parent_id());
    EXPECT_EQ(given[i].shared_baggage(), ended[i].shared_baggage());
    EXPECT_FALSE(given[i].sampled());
  }
}

TEST(PromotionBufferTest, TheRoomOfManyRunsIsFreedAsOthersNeedIt) {
  constexpr std::size_t kLimit = 200'000;
  internal::PromotionBuffer buffer(kLimit);
  const RunContext root = RunContext::Root(RunId::New({}), {}, nullptr);
  const auto trace = buffer.Of(root.trace_id(), true);
  std::uint64_t held = 0;
  for (; buffer.counts().evicted == 0; ++held) {
    EXPECT_TRUE(Hold(buffer, *trace, root.Child(RunId::New({}), {})));
    EXPECT_LE(buffer.counts().bytes, kLimit);
  }
  // All are forgotten at once, and hardly anything is destroyed for that.
  EXPECT_GT(held, 500u);
  EXPECT_EQ(buffer.counts().evicted, held);
  EXPECT_GT(buffer.counts().bytes, kLimit - 10'000);
  EXPECT_EQ(buffer.Promote(*trace).size(), 0u);
  for (int i = 0; i < 2000; ++i) {
    const RunContext other = RunContext::Root(RunId::New({}), {}, nullptr);
    EXPECT_TRUE(Hold(buffer, *buffer.Of(other.trace_id(), true), other));
    EXPECT_LE(buffer.counts().bytes, kLimit);
    EXPECT_GT(buffer.counts().bytes, kLimit - 10'000);
  }
}

TEST(PromotionBufferTest, RemembersWhatIsPromotedUntilTheRoomIsNeeded) {
  internal::PromotionBuffer buffer(20'000);
  const auto now = std::chrono::system_clock::now();
  const RunContext kept = RunContext::Root(RunId::New(now), now, nullptr);
  {
    const auto trace = buffer.Of(kept.trace_id(), true);
    EXPECT_TRUE(Hold(buffer, *trace, kept));
    EXPECT_EQ(buffer.Promote(*trace).size(), 1u);
    EXPECT_EQ(buffer.Promote(*trace).size(), 0u);
    EXPECT_FALSE(Hold(buffer, *trace, kept));
  }
  EXPECT_TRUE(buffer.Of(kept.trace_id(), false)->kept());
  for (int i = 0; i < 100; ++i) {
    const RunContext other = RunContext::Root(RunId::New(now), now, nullptr);
    EXPECT_TRUE(Hold(buffer, *buffer.Of(other.trace_id(), true), other));
  }
  EXPECT_FALSE(buffer.Of(kept.trace_id(), false)->kept());
  EXPECT_LE(buffer.counts().bytes, 20'000u);
}

TEST(PromotionBufferTest, EveryRunIsHeldOrSentOnceWhateverRunsAtTheSameTime) {
  internal::PromotionBuffer buffer(1 << 16);
  const auto now = std::chrono::system_clock::now();
  constexpr int kThreads = 4;
  constexpr int kTraces = 200;
  std::vector<RunContext> roots;
  for (int i = 0; i < kTraces; ++i) {
    roots.push_back(RunContext::Root(RunId::New(now), now, nullptr));
  }
  std::atomic<std::size_t> sent{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTraces; ++i) {
        const RunContext& root = roots[static_cast<std::size_t>(i)];
        const auto trace = buffer.Of(root.trace_id(), false);
        if (!Hold(buffer, *trace, root)) ++sent;
        if ((i + t) % 3 == 0) sent += buffer.Promote(*trace).size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t held = 0;
  for (const RunContext& root : roots)
    held += buffer.Promote(*buffer.Of(root.trace_id(), false)).size();
  EXPECT_EQ(sent + held + buffer.counts().evicted, std::size_t{kThreads} * kTraces);
}

}  // namespace
}  // namespace weft
