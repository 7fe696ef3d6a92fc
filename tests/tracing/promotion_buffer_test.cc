// SPDX-License-Identifier: Apache-2.0
// What is held of traces that are out of the sample, by itself.
#include "promotion_buffer.h"

#include <atomic>
#include <chrono>
#include <memory>
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
    const std::size_t before = buffer.counts().bytes;
    EXPECT_TRUE(Hold(buffer, *trace, child));
    EXPECT_GT(buffer.counts().bytes, before + child.dotted_order().size());
  }
  EXPECT_GT(buffer.counts().bytes, 50 * (sizeof(internal::HeldRun) + root.dotted_order().size()));
  internal::HeldTraceRuns held = buffer.Promote(*trace);
  EXPECT_EQ(held.size(), 50u);
  std::vector<RunId> given;
  std::move(held).TakeAll(
      [&](internal::HeldRun&& run) { given.push_back(std::move(run).Restore().context.id()); });
  EXPECT_EQ(given, ended);
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
