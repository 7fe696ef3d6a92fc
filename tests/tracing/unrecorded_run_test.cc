// SPDX-License-Identifier: Apache-2.0
// Runs that are out of the sample, and that nobody holds back.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/context/context_scope.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/sampling.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>

#include "tracing_fixture.h"

namespace {

thread_local std::uint64_t allocations = 0;

}  // namespace

#if !defined(__SANITIZE_ADDRESS__)  // Which has its own, of more kinds.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* const block = std::malloc(size)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
#endif

namespace weft {
namespace {

using ::testing::Each;
using ::testing::Eq;
using testing::HasMetadata;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// How runs come by their tracer: with and without options another code starts them.
enum class From { kOption, kTracingContext, kGlobal };

class UnrecordedRunTest : public TracingTest, public ::testing::WithParamInterface<From> {
 protected:
  UnrecordedRunTest() {
    if (GetParam() == From::kTracingContext)
      around_.emplace(TracingContextOptions{.tracer = tracer_});
    if (GetParam() == From::kGlobal) SetGlobalTracer(tracer_);
  }
  ~UnrecordedRunTest() override { SetGlobalTracer(nullptr); }

  Run Root() {
    if (GetParam() == From::kOption) return Run("root", {.tracer = tracer_});
    return Run("root");
  }
  std::uint64_t Made() { return tracer_->Stats().sampled_out; }

  std::shared_ptr<Tracer> tracer_ =
      MakeTracer({.project = "checkout", .sampling_rate = 0, .error_promotion = false});
  std::optional<TracingContext> around_;
};

std::string NameOf(const ::testing::TestParamInfo<From>& from) {
  if (from.param == From::kOption) return "Option";
  return from.param == From::kGlobal ? "Global" : "TracingContext";
}
INSTANTIATE_TEST_SUITE_P(, UnrecordedRunTest,
                         ::testing::Values(From::kOption, From::kTracingContext, From::kGlobal),
                         NameOf);

TEST_P(UnrecordedRunTest, IsTheSameWhoeverAsks) {
  RunRef kept;
  RunContext identity;
  {
    const Run root = Root();
    EXPECT_FALSE(root);
    EXPECT_FALSE(root.recording());
    EXPECT_TRUE(CurrentRun());
    kept = CurrentRun();
    identity = root.context();
    EXPECT_FALSE(identity.sampled());
    EXPECT_FALSE(identity.is_remote());
    EXPECT_EQ(identity.parent_id(), std::nullopt);
    EXPECT_EQ(identity.trace_id(), identity.id());
    EXPECT_EQ(identity.baggage().project, "checkout");
    EXPECT_EQ(root.context(), identity);
    EXPECT_EQ(CurrentRun().context(), identity);
    EXPECT_EQ(root.Ref().context().id(), identity.id());
    const TraceHeaders headers = CurrentRun().ToHeaders();
    EXPECT_EQ(headers.langsmith_trace, identity.dotted_order());
    EXPECT_THAT(headers.traceparent, ::testing::EndsWith("-00"));
    EXPECT_THAT(headers.baggage, HasSubstr("checkout"));
  }
  EXPECT_EQ(kept.context(), identity);
  EXPECT_FALSE(CurrentRun());
  EXPECT_EQ(Made(), 1u);
  EXPECT_THAT(exporter_->Records(), IsEmpty());
}

TEST_P(UnrecordedRunTest, TwoAreNeverTheSame) {
  std::vector<RunId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(Root().context().id());
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[1], ids[2]);
  EXPECT_EQ(Made(), 3u);
}

TEST_P(UnrecordedRunTest, SaysWhenItBeganHoweverLateItIsAsked) {
  const Run root = Root();
  clock_->Advance(std::chrono::hours(1));
  EXPECT_THAT(root.context().dotted_order(), StartsWith("20260102T030405000000Z"));
  EXPECT_EQ(root.context().id().bytes[5] | root.context().id().bytes[4] << 8,
            1'767'323'045'000 & 0xFFFF);
}

TEST_P(UnrecordedRunTest, ManyThreadsAskedOneRun) {
  constexpr int kThreads = 4;
  for (int round = 0; round < 50; ++round) {
    const Run root = Root();
    const Context context = Context::Current();
    std::atomic<int> ready{0};
    std::vector<RunContext> answers(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const ContextScope scope(context);
        ready.fetch_add(1);
        while (ready.load() < kThreads) std::this_thread::yield();
        const Run child("child");
        answers[static_cast<std::size_t>(i)] = child.context();
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_THAT(answers, Each(Eq(root.context())));
  }
}

TEST_P(UnrecordedRunTest, AContextMayOutliveItAndWhatWasAroundIt) {
  Context context;
  {
    const Run root = Root();
    context = Context::Current();
  }
  around_.reset();
  SetGlobalTracer(nullptr);
  std::thread([&] {
    const ContextScope scope(std::move(context));
    const RunContext identity = CurrentRun().context();
    EXPECT_TRUE(identity);
    EXPECT_FALSE(CurrentRun().recording());
    CurrentRun().Keep();
    EXPECT_FALSE(CurrentRun().kept());
    const Run child("child");
    EXPECT_EQ(child.context(), identity);
  }).join();
  EXPECT_EQ(Made(), 2u);
}

TEST_P(UnrecordedRunTest, AReferenceMayOutliveItAndWhatWasAroundIt) {
  RunRef kept;
  {
    const TracingContext around({.tags = {"canary"}});
    const Run root = Root();
    kept = root.Ref();
  }
  around_.reset();
  SetGlobalTracer(nullptr);
  EXPECT_THAT(kept.context().baggage().tags, ::testing::ElementsAre("canary"));
}

TEST_P(UnrecordedRunTest, MayEndEarlyAndMove) {
  Run root = Root();
  Run moved = std::move(root);
  EXPECT_TRUE(CurrentRun());
  EXPECT_EQ(moved.context(), CurrentRun().context());
  EXPECT_FALSE(root.context());  // NOLINT(bugprone-use-after-move)
  moved.End();
  EXPECT_FALSE(CurrentRun());
  const RunContext identity = moved.context();
  EXPECT_TRUE(identity);
  moved.End(clock_->Now());
  EXPECT_EQ(moved.context(), identity);
  EXPECT_EQ(moved.Ref().context(), identity);
}

TEST_P(UnrecordedRunTest, NeedNotBeCurrent) {
  const Run run("run", {.tracer = tracer_, .make_current = false});
  EXPECT_FALSE(CurrentRun());
  const ContextScope scope(WithRun(Context::Current(), run));
  EXPECT_EQ(CurrentRun().context(), run.context());
  const Run child("child");
  EXPECT_EQ(child.context(), run.context());
}

TEST_P(UnrecordedRunTest, HandsOnWhatIsSaidBelowIt) {
  const Run root = Root();
  const Run tagged("tagged", {.tags = {"own"}, .metadata = {{"user_id", "u-1"}}});
  EXPECT_EQ(tagged.context().parent_id(), root.context().id());
  EXPECT_EQ(tagged.context().trace_id(), root.context().id());
  EXPECT_FALSE(tagged.context().sampled());
  EXPECT_THAT(tagged.ToHeaders().baggage, HasSubstr("own"));
  const TracingContext context({.tags = {"canary"}, .baggage = {{"tenant", "blue"}}});
  const Run below("below", {.tags = {"more"}});
  EXPECT_EQ(below.context().parent_id(), tagged.context().id());
  EXPECT_EQ(below.context().baggage().metadata, (JsonObject{{"user_id", "u-1"}}));
  EXPECT_THAT(below.context().baggage().tags, ::testing::ElementsAre("canary", "more"));
  EXPECT_EQ(CurrentBaggage("tenant"), "blue");
}

TEST_P(UnrecordedRunTest, AnotherTracersRunBelowIsItsChild) {
  const auto holds = MakeTracer({.sampling_rate = 0});
  const Run root = Root();
  {
    Run below("below", {.tracer = holds});
    below.SetError("broken");
    EXPECT_EQ(below.context().parent_id(), root.context().id());
    EXPECT_TRUE(below.recording());
  }
  EXPECT_EQ(Only().context.trace_id(), root.context().id());
}

TEST_P(UnrecordedRunTest, ARunBelowACallerIsOneToo) {
  const Run run("run", {.parent = RemoteParent(), .tracer = tracer_});
  EXPECT_FALSE(run.recording());
  EXPECT_EQ(run.context().parent_id(), RemoteParent().parent.id());
  EXPECT_EQ(run.context().trace_id(), RemoteParent().parent.trace_id());
  EXPECT_EQ(run.context().baggage().project, "A-project");
  const Run child("child");
  EXPECT_EQ(child.context(), run.context());
}

TEST_P(UnrecordedRunTest, CostsNoAllocationUnlessSomebodyAsks) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "there every run has memory of its own";
#endif
  { const Run first = Root(); }
  const std::uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) {
    const Run root = Root();
    const Run child("child");
    EXPECT_TRUE(CurrentRun());
  }
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(Made(), 201u);
}

/// Where the rate is between none and all.
class RateTest : public UnrecordedRunTest {
 protected:
  static constexpr double kRate = 0.05;

  RateTest() { Use({.sampling_rate = kRate}); }

  /// With ids of chance: those of a generator decide themselves.
  void Use(TracerOptions options) {
    options.error_promotion = false;
    options.exporters = {exporter_};
    options.clock = clock_;
    options.detect_context_loss = false;
    tracer_ = Tracer::Create(std::move(options)).value();
    if (around_) around_.emplace(TracingContextOptions{.tracer = tracer_});
    if (GetParam() == From::kGlobal) SetGlobalTracer(tracer_);
  }
};
INSTANTIATE_TEST_SUITE_P(, RateTest,
                         ::testing::Values(From::kOption, From::kTracingContext, From::kGlobal),
                         NameOf);

TEST_P(RateTest, TheIdSaysWhatWasDecided) {
  std::uint64_t sampled = 0;
  for (int i = 0; i < 4000; ++i) {
    const Run root = Root();
    const RunContext identity = root.context();
    EXPECT_EQ(root.recording(), SampledByTraceId(identity.trace_id(), kRate));
    EXPECT_EQ(identity.sampled(), root.recording());
    EXPECT_EQ(Run("child").context().trace_id(), identity.trace_id());
    if (root.recording()) ++sampled;
  }
  // 200, and 14 for the deviation.
  EXPECT_GT(sampled, 110u);
  EXPECT_LT(sampled, 290u);
  EXPECT_EQ(tracer_->Stats().sampled_out, 8000 - 2 * sampled);
}

TEST_P(RateTest, TheIdOfATraceableSaysWhatWasDecided) {
  std::uint64_t sampled = 0;
  const auto check = [&sampled] {
    const RunContext identity = CurrentRun().context();
    EXPECT_EQ(identity.sampled(), SampledByTraceId(identity.trace_id(), kRate));
    if (identity.sampled()) ++sampled;
  };
  TraceableOptions options{.run_type = RunType::kTool};
  if (GetParam() == From::kOption) options.tracer = tracer_;
  auto step = Traceable("step", options, check);
  for (int i = 0; i < 4000; ++i) step();
  EXPECT_GT(sampled, 110u);
  EXPECT_LT(sampled, 290u);
  EXPECT_EQ(exporter_->Runs().size(), sampled);
}

TEST_P(RateTest, RulesDecideByTheNameOfTheRoot) {
  Use({.project = "checkout",
       .sampling_rate = 1,
       .sampling_rules = {{.project = "other", .rate = 1},
                          {.name = "ro?t", .rate = kRate},
                          {.project = "check*", .name = "none", .rate = 0}}});
  std::uint64_t sampled = 0;
  for (int i = 0; i < 4000; ++i) {
    const Run root = Root();
    EXPECT_EQ(root.recording(), SampledByTraceId(root.context().trace_id(), kRate));
    if (root.recording()) ++sampled;
  }
  EXPECT_GT(sampled, 110u);
  EXPECT_LT(sampled, 290u);
  if (GetParam() == From::kOption) return;
  EXPECT_FALSE(Run("none").recording());
  EXPECT_TRUE(Run("all").recording());
  EXPECT_THAT(Tree().FindRuns("root")[0], HasMetadata("ls_tracing_sample_rate", kRate));
}

TEST_P(RateTest, IdsAreOfTheStartOfTheRun) {
  for (int i = 0; i < 500; ++i) {
    clock_->Advance(std::chrono::milliseconds(1));
    const Run root = Root();
    EXPECT_EQ(root.context().id().bytes[5] | root.context().id().bytes[4] << 8,
              (1'767'323'045'001 + i) & 0xFFFF);
  }
}

TEST_P(RateTest, CostsNoAllocationOutOfTheSample) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "there every run has memory of its own";
#endif
  { const Run first = Root(); }
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t before = allocations;
    const bool sampled = Root().recording();
    EXPECT_TRUE(sampled || allocations == before);
  }
}

TEST_P(RateTest, CallsOfATraceableCostNoAllocationOutOfTheSample) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "there every run has memory of its own";
#endif
  TraceableOptions options{.run_type = RunType::kTool};
  if (GetParam() == From::kOption) options.tracer = tracer_;
  const auto step = Traceable("step", options, [] { return CurrentRun().recording(); });
  step();
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t before = allocations;
    const bool sampled = step();
    EXPECT_TRUE(sampled || allocations == before);
  }
}

/// A sampler of the user's own.
class SamplerTest : public TracingTest {
 protected:
  class Asked final : public Sampler {
   public:
    SamplingDecision Decide(const SamplingQuestion& asked) const noexcept override {
      ++times;
      project = asked.project;
      if (looks_at_id) id = asked.trace_id();
      return {.sampled = answer};
    }

    bool looks_at_id = false;
    bool answer = false;
    mutable int times = 0;
    mutable RunId id{};
    mutable std::string project;
  };

  std::shared_ptr<Asked> asked_ = std::make_shared<Asked>();
  std::shared_ptr<Tracer> tracer_ =
      MakeTracer({.project = "checkout", .sampler = asked_, .error_promotion = false});
};

TEST_F(SamplerTest, IsToldTheIdThatTheTraceHas) {
  asked_->looks_at_id = true;
  for (const bool answer : {false, true}) {
    asked_->answer = answer;
    const Run root("root", {.parent = kNoParent, .tracer = tracer_});
    EXPECT_EQ(root.recording(), answer);
    EXPECT_EQ(root.context().trace_id(), asked_->id);
    const Run tagged("tagged", {.parent = kNoParent, .tags = {"canary"}, .tracer = tracer_});
    EXPECT_EQ(tagged.recording(), answer);
    EXPECT_EQ(tagged.context().trace_id(), asked_->id);
  }
  EXPECT_EQ(asked_->times, 4);
}

TEST_F(SamplerTest, ThatDoesNotLookAtTheIdCostsNoAllocation) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "there every run has memory of its own";
#endif
  { const Run first("root", {.tracer = tracer_}); }
  const std::uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) const Run root("root", {.tracer = tracer_});
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(asked_->times, 101);
  const RunId one = Run("root", {.tracer = tracer_}).context().id();
  EXPECT_NE(Run("root", {.tracer = tracer_}).context().id(), one);
}

TEST_F(SamplerTest, IsToldTheProjectAroundTheRoot) {
  { const Run root("root", {.tracer = tracer_}); }
  EXPECT_EQ(asked_->project, "checkout");
  const TracingContext context({.project = "canary"});
  { const Run root("root", {.tracer = tracer_}); }
  EXPECT_EQ(asked_->project, "canary");
  { const Run root("root", {.project = "own", .tracer = tracer_}); }
  EXPECT_EQ(asked_->project, "own");
}

/// Roots in a TracingContext that says more than a tracer.
class AroundTest : public TracingTest {
 protected:
  static TracingContextOptions Around(std::shared_ptr<Tracer> tracer) {
    return {.project = "other",
            .tags = {"canary"},
            .metadata = {{"user_id", "u-1"}},
            .baggage = {{"tenant", "blue"}},
            .tracer = std::move(tracer)};
  }
  static void Check(const TraceBaggage& baggage) {
    EXPECT_EQ(baggage.project, "other");
    EXPECT_THAT(baggage.tags, ::testing::ElementsAre("canary"));
    EXPECT_EQ(baggage.metadata, (JsonObject{{"user_id", "u-1"}}));
    EXPECT_THAT(baggage.foreign, ::testing::ElementsAre(::testing::Pair("tenant", "blue")));
  }
};

TEST_F(AroundTest, IsHandedDownByARootOutOfTheSample) {
  const auto tracer = MakeTracer({.sampling_rate = 0, .error_promotion = false});
  RunRef kept;
  {
    const TracingContext context(Around(tracer));
    const Run root("root");
    kept = root.Ref();
    Check(root.context().baggage());
    const Run below("below", {.tags = {"own"}});
    EXPECT_EQ(below.context().parent_id(), root.context().id());
    EXPECT_THAT(below.context().baggage().tags, ::testing::ElementsAre("canary", "own"));
  }
  Check(kept.context().baggage());
}

TEST_F(AroundTest, IsStillThereForWhoAsksLate) {
  const auto tracer = MakeTracer({.sampling_rate = 0, .error_promotion = false});
  RunRef kept;
  {
    const TracingContext context(Around(tracer));
    kept = Run("root").Ref();
  }
  Check(kept.context().baggage());
}

TEST_F(AroundTest, WhatTheTracerHidesIsNotHandedDown) {
  const auto tracer =
      MakeTracer({.sampling_rate = 0, .error_promotion = false, .hide_metadata = true});
  const TracingContext context(Around(tracer));
  EXPECT_THAT(Run("root").context().baggage().metadata, IsEmpty());
}

TEST_F(AroundTest, CostsARootOutOfTheSampleNoAllocation) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "there every run has memory of its own";
#endif
  const auto tracer =
      MakeTracer({.sampling_rate = 0, .error_promotion = false, .detect_context_loss = false});
  const TracingContext context(
      {.project = "other", .tags = {"canary"}, .metadata = {{"user_id", "u-1"}}, .tracer = tracer});
  { const Run first("root"); }
  const std::uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) const Run root("root");
  EXPECT_EQ(allocations, before);
}

TEST_F(AroundTest, ARuleForItsProjectDecides) {
  const auto tracer = Tracer::Create({.sampling_rate = 0,
                                      .sampling_rules = {{.project = "other", .rate = 1}},
                                      .error_promotion = false})
                          .value();
  EXPECT_FALSE(Run("root", {.tracer = tracer}).recording());
  const TracingContext context(Around(tracer));
  EXPECT_TRUE(Run("root").recording());
}

TEST_P(UnrecordedRunTest, ThreadsThatEndKeepNothing) {
  for (int i = 0; i < 4; ++i) {
    std::thread([this] {
      if (GetParam() != From::kGlobal) Run("root", {.tracer = tracer_}).context();
      std::vector<Run> open;
      for (int n = 0; n < 100; ++n) {
        open.push_back(Run("run", {.parent = kNoParent, .tracer = tracer_, .make_current = false}));
      }
    }).join();
  }
}

TEST(UnrecordedRunStartTest, IsNotLaterThanTheRunAndNotMuchEarlier) {
  const auto tracer = Tracer::Create({.sampling_rate = 0}).value();
  const auto before = std::chrono::system_clock::now();
  const weft::Run root("root", {.tracer = tracer});
  const auto after = std::chrono::system_clock::now();
  const RunContext early = RunContext::Root(RunId(), before - std::chrono::minutes(1), nullptr);
  const RunContext late = RunContext::Root(RunId(), after, nullptr);
  const auto time = [](const RunContext& run) { return run.dotted_order().substr(0, 22); };
  EXPECT_GE(time(root.context()), time(early));
  EXPECT_LE(time(root.context()), time(late));
}

}  // namespace
}  // namespace weft
