// SPDX-License-Identifier: Apache-2.0
// Errors of traces that are out of the sample.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <boost/fiber/future/future.hpp>

#include <weft/collector/v1/collector.pb.h>
#include <weft/context/async.h>
#include <weft/context/bind.h>
#include <weft/context/spawn.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>

#include "run_batch_writer.h"
#include "tracing_fixture.h"

namespace weft {
namespace {

using ::testing::Combine;
using ::testing::IsEmpty;
using testing::RunTree;
using ::testing::SizeIs;
using ::testing::Values;

class PromotionTest : public TracingTest {
 protected:
  // Nothing is in the sample.
  std::shared_ptr<Tracer> Make(TracerOptions options = {}) {
    options.sampling_rate = 0.0;
    options.open_run_delay = std::chrono::hours(1);
    return MakeTracer(std::move(options));
  }
  std::vector<std::string> Sent() const {
    std::vector<std::string> names;
    for (const RunRecord& run : exporter_->Records()) names.emplace_back(run.DisplayName());
    return names;
  }
};

TEST_F(PromotionTest, SendsWhatIsHeldOfATraceWhenARunOfItFails) {
  const auto tracer = Make();
  {
    Run root("root", {.tracer = tracer});
    { Run before("before"); }
    EXPECT_THAT(exporter_->Records(), IsEmpty());
    {
      Run failing("failing");
      failing.SetError("broken");
    }
    EXPECT_THAT(Sent(), ::testing::ElementsAre("before", "failing"));
    { Run after("after"); }
    EXPECT_THAT(Sent(), ::testing::ElementsAre("before", "failing", "after"));
  }
  EXPECT_EQ(Tree().ToString(), "root\n  before\n  failing !broken\n  after\n");
  EXPECT_EQ(Tree().FindRun("failing")->error, "broken");
  const TracerStats stats = tracer->Stats();
  EXPECT_EQ(stats.created, 4u);
  EXPECT_EQ(stats.ended, 4u);
  EXPECT_EQ(stats.sampled_out, 4u);
  EXPECT_EQ(stats.promoted, 4u);
  EXPECT_EQ(stats.promoted_traces, 1u);
}

TEST_F(PromotionTest, LeavesOtherTracesAlone) {
  const auto tracer = Make();
  { Run good("good", {.tracer = tracer}); }
  {
    Run bad("bad", {.tracer = tracer});
    bad.SetError("broken");
  }
  { Run good("good", {.tracer = tracer}); }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("bad"));
}

TEST_F(PromotionTest, SaysThatARunWasPromotedInsteadOfARateThatDidNotTakeIt) {
  const auto tracer = Make({.service_name = "shop"});
  {
    Run bad("bad", {.tracer = tracer});
    bad.SetError("broken");
  }
  const JsonObject metadata = Only().AllMetadata();
  EXPECT_EQ(metadata.at("weft_promoted"), Json(true));
  EXPECT_FALSE(metadata.contains("ls_tracing_sample_rate"));
  EXPECT_EQ(metadata.at("service.name"), Json("shop"));
  EXPECT_TRUE(Only().keep);
}

TEST_F(PromotionTest, ARunInTheSampleSaysTheRateAndIsKeptOnceItsTraceFails) {
  const auto tracer = MakeTracer({.sampling_rate = 0.999999});
  Run root("root", {.tracer = tracer});
  ASSERT_TRUE(root);
  { Run good("good"); }
  {
    Run bad("bad");
    bad.SetError("broken");
    EXPECT_FALSE(root.kept());
  }
  EXPECT_TRUE(root.kept());
  root.End();
  const Runs runs = exporter_->Runs();
  ASSERT_THAT(runs, SizeIs(3));
  EXPECT_FALSE(runs[0].keep);
  EXPECT_TRUE(runs[1].keep);
  EXPECT_TRUE(runs[2].keep);
  for (const RunRecord& run : runs) {
    EXPECT_TRUE(run.AllMetadata().contains("ls_tracing_sample_rate"));
    EXPECT_FALSE(run.AllMetadata().contains("weft_promoted"));
  }
  EXPECT_EQ(tracer->Stats().promoted_traces, 0u);
}

TEST_F(PromotionTest, KeepIsForTracesWithoutAnError) {
  const auto tracer = Make();
  {
    Run root("root", {.tracer = tracer});
    EXPECT_FALSE(root.kept());
    { Run odd("odd"); }
    CurrentRun().Keep();
    EXPECT_TRUE(root.kept());
    EXPECT_TRUE(CurrentRun().kept());
    EXPECT_THAT(Sent(), ::testing::ElementsAre("odd"));
    root.Keep();
  }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("odd", "root"));
  EXPECT_EQ(tracer->Stats().promoted_traces, 1u);
}

TEST_F(PromotionTest, ARunIsToldAboutOnlyOnceItIsSent) {
  const auto tracer = Make();
  Run root("root", {.tracer = tracer});
  EXPECT_FALSE(root);
  EXPECT_TRUE(root.recording());
  root.Keep();
  EXPECT_TRUE(root);
  root.End();
  EXPECT_FALSE(root);
  EXPECT_FALSE(root.recording());
}

TEST_F(PromotionTest, WhatIsHeldIsShort) {
  const auto tracer = Make();
  const std::string question(5000, 'q');
  {
    Run root("root", {.tracer = tracer});
    {
      Run step("step", {.inputs = {{"question", question}, {"k", 8}}});
      step.SetOutputs({{"answer", question}});
      step.AddTags({"canary"});
      step.AddMetadata({{"ls_provider", "acme"}, {"large", JsonArray(1000, 7)}});
      step.Attach("image", "image/png", question);
      step.AddEvent("new_token");
    }
    root.SetInputs({{"question", question}});
    root.SetError("broken");
  }
  const Runs runs = exporter_->Runs();
  ASSERT_THAT(runs, SizeIs(2));
  const RunRecord& step = runs[0];
  EXPECT_EQ(step.inputs.at("question"), Json(std::string(256, 'q') + "... (5000 bytes)"));
  EXPECT_EQ(step.inputs.at("k"), Json(8));
  EXPECT_EQ(step.inputs.at("weft_truncated"), Json(true));
  EXPECT_EQ(step.outputs, std::nullopt);
  EXPECT_THAT(step.attachments, IsEmpty());
  EXPECT_THAT(step.events, IsEmpty());
  EXPECT_THAT(step.tags, ::testing::ElementsAre("canary"));
  EXPECT_EQ(step.metadata.at("ls_provider"), Json("acme"));
  EXPECT_LT(step.metadata.at("large").get_array().size(), 100u);
  EXPECT_NE(step.end, std::nullopt);
  // What is open when its trace is promoted, is whole.
  EXPECT_EQ(runs[1].inputs.at("question"), Json(question));
}

TEST_F(PromotionTest, NothingStaysOfATextThatIsCutBeforeItIsRedacted) {
  const auto tracer = Make({.redaction = {.presets = {RedactionPreset::kApiKeys}}});
  {
    Run root("root", {.tracer = tracer});
    {
      Run step("step", {.inputs = {{"text", std::string(250, 'x') + " sk-aaaaaaaaaaaaaaaaaaaa"}}});
    }
    root.SetError("broken");
  }
  EXPECT_EQ(exporter_->Runs()[0].inputs.at("text"), Json("... (274 bytes)"));
}

TEST_F(PromotionTest, OverItsLimitTheBufferForgetsTheOldestTraceAsAWhole) {
  const auto tracer = Make({.promotion_buffer_bytes = 20'000});
  std::vector<Run> roots;
  for (int i = 0; i < 50; ++i) {
    roots.emplace_back("root", RunOptions{.tracer = tracer, .make_current = false});
    for (const char* const name : {"first", "second"}) {
      Run step(name, {.parent = roots.back().context(), .tracer = tracer});
    }
  }
  const TracerStats before = tracer->Stats();
  EXPECT_GT(before.held_evicted, 0u);
  EXPECT_EQ(before.held_evicted % 2, 0u);
  EXPECT_LE(before.held_bytes, 20'000u);
  EXPECT_GT(before.held_bytes, 10'000u);
  const std::size_t forgotten = before.held_evicted / 2;
  // The youngest first: what is remembered of promoted traces takes room, too.
  for (auto root = roots.rbegin(); root != roots.rend(); ++root) {
    root->SetError("broken");
    root->End();
  }
  // Of the oldest only what failed itself.
  const RunTree tree = Tree();
  EXPECT_THAT(tree.FindRuns("root"), SizeIs(50));
  EXPECT_THAT(tree.FindRuns("first"), SizeIs(50 - forgotten));
  EXPECT_THAT(tree.FindRuns("second"), SizeIs(50 - forgotten));
  for (std::size_t i = 0; i < roots.size(); ++i) {
    const auto steps = tree.FindRuns("first");
    const bool held = std::any_of(steps.begin(), steps.end(), [&](const auto& step) {
      return step->context.trace_id() == roots[i].context().trace_id();
    });
    EXPECT_EQ(held, i >= forgotten) << i;
  }
}

TEST_F(PromotionTest, BaggageOfCallersTakesRoomToo) {
  const auto tracer = Make({.promotion_buffer_bytes = 100'000});
  for (int i = 0; i < 100; ++i) {
    TraceHeaders headers;
    headers.langsmith_trace =
        RunContext::Root(ids_->New(clock_->Now()), clock_->Now(), nullptr).dotted_order();
    headers.baggage = "tenant=" + std::string(8000, 't');
    Run run("run", {.parent = headers.Parse(), .tracer = tracer});
  }
  EXPECT_LE(tracer->Stats().held_bytes, 100'000u);
  EXPECT_GT(tracer->Stats().held_evicted, 80u);
}

TEST_F(PromotionTest, RunsThatACallerBeginsLaterAreSent) {
  const auto tracer = Make();
  {
    Run first("first", {.parent = RemoteParent(), .tracer = tracer});
    first.SetError("broken");
  }
  { Run later("later", {.parent = RemoteParent(), .tracer = tracer}); }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("first", "later"));
}

TEST_F(PromotionTest, CallsOfOneTraceShareItsFate) {
  const auto tracer = Make();
  Run one("one", {.parent = RemoteParent(), .tracer = tracer, .make_current = false});
  Run other("other", {.parent = RemoteParent(), .tracer = tracer, .make_current = false});
  one.SetError("broken");
  one.End();
  EXPECT_TRUE(other.kept());
  other.End();
  EXPECT_THAT(Sent(), ::testing::ElementsAre("one", "other"));
}

TEST_F(PromotionTest, ARunOfAPromotedTraceIsSentWhileItIsOpen) {
  const auto tracer =
      MakeTracer({.sampling_rate = 0.0, .open_run_delay = std::chrono::milliseconds(0)});
  Run root("root", {.tracer = tracer});
  EXPECT_THAT(exporter_->Records(), IsEmpty());
  root.Keep();
  ASSERT_THAT(Sent(), ::testing::ElementsAre("root"));
  Run child("child");
  ASSERT_THAT(Sent(), ::testing::ElementsAre("root", "child"));
  for (const RunRecord& open : exporter_->Records()) {
    EXPECT_TRUE(open.keep);
    EXPECT_EQ(open.operation, RunRecord::Operation::kPost);
    EXPECT_EQ(open.end, std::nullopt);
    EXPECT_TRUE(open.AllMetadata().contains("weft_promoted"));
  }
  child.End();
  root.End();
  EXPECT_EQ(exporter_->Records()[3].operation, RunRecord::Operation::kPatch);
  EXPECT_EQ(Tree().ToString(), "root\n  child\n");
  EXPECT_EQ(tracer->Stats().created, 2u);
  EXPECT_EQ(tracer->Stats().ended, 2u);
  EXPECT_EQ(tracer->Stats().promoted, 2u);
}

TEST_F(PromotionTest, WhatHasLongBeenOpenIsSentWhenItsTraceIsPromoted) {
  const auto tracer = MakeTracer({.sampling_rate = 0.0, .open_run_delay = std::chrono::seconds(2)});
  Run root("root", {.tracer = tracer});
  Run agent("agent");
  clock_->Advance(std::chrono::seconds(3));
  Run young("young");
  {
    Run failing("failing");
    failing.SetError("broken");
  }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("root", "agent", "failing"));
  EXPECT_EQ(exporter_->Records()[0].end, std::nullopt);
  young.End();
  agent.End();
  root.End();
  // Of the young one, once.
  EXPECT_THAT(Sent(), ::testing::ElementsAre("root", "agent", "failing", "young", "agent", "root"));
  EXPECT_EQ(Tree().ToString(), "root\n  agent\n    young\n      failing !broken\n");
  EXPECT_EQ(tracer->Stats().promoted, 4u);
}

TEST_F(PromotionTest, WhatWasYoungWhenItsTraceWasPromotedIsSentOnceItIsNot) {
  const auto tracer =
      MakeTracer({.sampling_rate = 0.0, .open_run_delay = std::chrono::milliseconds(40)});
  Run root("root", {.tracer = tracer});
  root.Keep();
  EXPECT_THAT(exporter_->Records(), IsEmpty());
  clock_->Advance(std::chrono::seconds(1));
  EXPECT_TRUE(exporter_->WaitForRecords(1));
  EXPECT_THAT(Sent(), ::testing::ElementsAre("root"));
}

TEST_F(PromotionTest, OpenRunsOfATraceMayEndWhileItIsPromoted) {
  const auto tracer =
      MakeTracer({.sampling_rate = 0.0, .open_run_delay = std::chrono::milliseconds(4)});
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<Run> open;
    Run root("root", {.tracer = tracer, .make_current = false});
    for (int i = 0; i < 4; ++i) {
      open.emplace_back(
          "open", RunOptions{.parent = root.context(), .tracer = tracer, .make_current = false});
    }
    if (round % 2 == 0) clock_->Advance(std::chrono::milliseconds(5));
    std::thread other([&open] { open.clear(); });
    root.Keep();
    other.join();
  }
  tracer->Shutdown(std::chrono::seconds(5));
  EXPECT_EQ(exporter_->Runs().size(), kRounds * 5u);
  for (const RunRecord& run : exporter_->Runs()) EXPECT_NE(run.end, std::nullopt);
  EXPECT_EQ(tracer->Stats().promoted, kRounds * 5u);
}

TEST_F(PromotionTest, SwitchedOffNothingIsHeld) {
  const auto tracer = Make({.error_promotion = false});
  {
    Run root("root", {.tracer = tracer});
    EXPECT_FALSE(root.recording());
    root.Keep();
    EXPECT_FALSE(root.kept());
    Run bad("bad");
    bad.SetError("broken");
  }
  EXPECT_THAT(exporter_->Records(), IsEmpty());
  EXPECT_EQ(tracer->Stats().sampled_out, 2u);
  EXPECT_EQ(tracer->Stats().held_bytes, 0u);
}

TEST_F(PromotionTest, TellsTheCollectorByTheOperation) {
  const auto tracer = Make();
  {
    Run bad("bad", {.tracer = tracer});
    bad.SetError("broken");
  }
  internal::RunBatchWriter writer;
  RunRecord record = Only();
  writer.Append(record);
  record.keep = false;
  writer.Append(record);
  collector::v1::RunBatch batch;
  ASSERT_TRUE(batch.ParseFromString(writer.Take()));
  ASSERT_EQ(batch.operations_size(), 2);
  EXPECT_TRUE(batch.operations(0).keep());
  EXPECT_FALSE(batch.operations(1).keep());
  EXPECT_EQ(batch.operations(0).extra(), batch.operations(1).extra());
}

TEST_F(PromotionTest, ARunOfWhichNothingIsHeldIsItsParentOverAgainForServicesBelow) {
  const auto tracer = Make({.error_promotion = false});
  const Run root("root", {.tracer = tracer});
  {
    const Run child("child");
    EXPECT_EQ(child.context(), root.context());
    EXPECT_EQ(child.ToHeaders().langsmith_trace, root.context().dotted_order());
    const Run tagged("tagged", {.tags = {"canary"}});
    EXPECT_EQ(tagged.context().parent_id(), root.context().id());
  }
  const TracingContext context({.tags = {"canary"}});
  const Run below("below");
  EXPECT_EQ(below.context().parent_id(), root.context().id());
  EXPECT_EQ(tracer->Stats().created, 4u);
  EXPECT_EQ(tracer->Stats().sampled_out, 4u);
}

// ---- other samples than one rate for all

class OneName final : public Sampler {
 public:
  SamplingDecision Decide(const SamplingQuestion& asked) const noexcept override {
    return {.sampled = asked.name == "chosen"};
  }
};

TEST_F(PromotionTest, ASamplerOfOnesOwnDecidesWithTheRootForTheTrace) {
  const auto tracer =
      MakeTracer({.sampling_rate = 0.0, .sampler = std::make_shared<const OneName>()});
  for (const char* const name : {"chosen", "other"}) {
    Run root(name, {.tracer = tracer});
    const Run below("below");
  }
  EXPECT_EQ(Tree().ToString(), "chosen\n  below\n");
}

TEST_F(PromotionTest, AnErrorIsKeptWhateverTheSamplerSays) {
  const auto never = MakeTracer({.sampler = Never()});
  const auto always = MakeTracer({.sampling_rate = 0.0, .sampler = Always()});
  { Run good("good", {.tracer = never}); }
  { Run good("sampled", {.tracer = always}); }
  {
    Run bad("bad", {.tracer = never});
    bad.SetError("broken");
  }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("sampled", "bad"));
}

TEST_F(PromotionTest, TheFirstRuleThatFitsGivesTheRate) {
  const auto tracer = MakeTracer({.sampling_rate = 0.0,
                                  .sampling_rules = {{.method = "/shop.Cart/*", .rate = 0},
                                                     {.project = "canary", .rate = 1},
                                                     {.name = "shop*", .rate = 1}}});
  const auto kind = std::make_shared<RunTemplate>("shop.Cart/Add", RunType::kTool);
  kind->rpc_method = "/shop.Cart/Add";
  { Run by_method(kind, {.project = "canary", .tracer = tracer}); }
  { Run by_project("a", {.project = "canary", .tracer = tracer}); }
  { Run by_name("shopping", {.tracer = tracer}); }
  { Run by_none("b", {.tracer = tracer}); }
  EXPECT_THAT(Sent(), ::testing::ElementsAre("a", "shopping"));
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_EQ(run.AllMetadata().at("ls_tracing_sample_rate"), Json(1.0));
  }
}

TEST_F(PromotionTest, ARuleWithoutARateIsRefused) {
  const auto tracer = Tracer::Create({.sampling_rules = {{}, {.rate = 2}}});
  EXPECT_THAT(std::string(tracer.status().message()),
              ::testing::HasSubstr("sampling_rules[1].rate: 2"));
}

TEST_F(PromotionTest, ATraceableConvertsOutputsOnlyOfWhatIsSent) {
  const auto tracer = Make();
  const TracingContext context({.tracer = tracer});
  int converted = 0;
  auto step = Traceable("step",
                        {.arguments = {"k"},
                         .outputs =
                             [&](JsonObject outputs) {
                               ++converted;
                               return outputs;
                             }},
                        [](int k) -> absl::StatusOr<int> {
                          if (k == 3) return absl::InternalError("three");
                          return k;
                        });
  const Run root("root");
  EXPECT_TRUE(step(1).ok());
  EXPECT_EQ(converted, 0);
  EXPECT_FALSE(step(3).ok());
  EXPECT_TRUE(step(4).ok());
  EXPECT_EQ(converted, 1);
  const Runs runs = exporter_->Runs();
  ASSERT_THAT(runs, SizeIs(3));
  EXPECT_EQ(runs[0].inputs.at("k"), Json(1));
  EXPECT_EQ(runs[1].error, "INTERNAL: three");
}

// ---- parents of every source, on every kind of stack, in every kind of trace

enum class Source { kRoot, kCurrent, kRun, kHeaders, kContext, kDottedOrder, kTraceparent };
enum class Stack { kPlain, kAsync, kFiber, kQueue };
enum class Fate { kSampled, kUnsampled, kPromoted };

/// A worker thread with a queue.
class Queue {
 public:
  ~Queue() {
    Push(nullptr);
    thread_.join();
  }
  void Push(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_one();
  }

 private:
  void Loop() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !work_.empty(); });
      const std::function<void()> work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      if (!work) return;
      work();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::thread thread_{[this] { Loop(); }};
};

void RunOn(Stack stack, std::function<void()> work) {
  switch (stack) {
    case Stack::kPlain:
      return work();
    case Stack::kAsync:
      return Async(std::move(work)).get();
    case Stack::kFiber: {
      Spawn(std::move(work)).join();
      return;
    }
    case Stack::kQueue: {
      Queue queue;
      std::promise<void> done;
      queue.Push(Bind([&] {
        work();
        done.set_value();
      }));
      done.get_future().wait();
      return;
    }
  }
}

class Parents : public PromotionTest,
                public ::testing::WithParamInterface<std::tuple<Source, Stack, Fate>> {};

TEST_P(Parents, DecideWhoseChildARunIsAndWhetherItIsSent) {
  const auto& [source, stack, fate] = GetParam();
  const auto tracer = MakeTracer({.sampling_rate = fate == Fate::kSampled ? 1.0 : 0.0,
                                  .open_run_delay = std::chrono::hours(1)});
  RunId parent;
  RunId trace;
  {
    const TracingContext context({.tracer = tracer});
    std::optional<Run> above;
    RunOptions options;
    switch (source) {
      case Source::kRoot:
        above.emplace("above");
        options.parent = kNoParent;
        break;
      case Source::kCurrent:
        above.emplace("above");
        parent = above->context().id();
        break;
      case Source::kRun:
        above.emplace("above", RunOptions{.make_current = false});
        options.parent = above->context();
        parent = above->context().id();
        break;
      case Source::kHeaders:
        options.parent = RemoteParent();
        parent = RemoteParent().parent.id();
        break;
      case Source::kDottedOrder: {
        const RunContext far = RunContext::Remote(RemoteParent().parent.dotted_order(), nullptr);
        options.parent = far;
        parent = far.id();
        break;
      }
      case Source::kTraceparent: {
        const ParsedHeaders headers =
            TraceHeaders{.traceparent = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"}
                .Parse();
        options.parent = headers;
        parent = headers.parent.id();
        EXPECT_NE(parent, RunId{});
        break;
      }
      case Source::kContext:
        break;
    }
    std::optional<TracingContext> remote;
    if (source == Source::kContext) {
      remote.emplace(TracingContextOptions{.parent = RemoteParent()});
      parent = RemoteParent().parent.id();
    }
    RunOn(stack, [&, fate = fate] {
      Run run("run", std::move(options));
      trace = run.context().trace_id();
      EXPECT_EQ(run.context().parent_id().value_or(RunId{}), parent);
      EXPECT_EQ(static_cast<bool>(run), fate == Fate::kSampled);
      const Run below("below");
      EXPECT_EQ(below.context().parent_id(), run.context().id());
      if (fate == Fate::kPromoted) run.SetError("broken");
    });
  }
  const RunTree tree = Tree();
  const bool has_above = source == Source::kCurrent || source == Source::kRun;
  if (fate == Fate::kUnsampled) {
    EXPECT_EQ(tree.size(), 0u);
    return;
  }
  EXPECT_THAT(tree.FindRuns("run"), SizeIs(1));
  EXPECT_THAT(tree.FindRuns("below"), SizeIs(1));
  // A promotion is of one trace: not of the one that a new root leaves.
  const bool sent_above = has_above || (source == Source::kRoot && fate == Fate::kSampled);
  EXPECT_THAT(tree.FindRuns("above"), SizeIs(sent_above ? 1 : 0));
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_EQ(run.AllMetadata().contains("weft_promoted"), fate == Fate::kPromoted);
    EXPECT_TRUE(!has_above || run.context.trace_id() == trace);
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Source, Stack, Fate>>& param) {
  constexpr const char* kSources[] = {"Root",    "Current",     "Run",        "Headers",
                                      "Context", "DottedOrder", "Traceparent"};
  constexpr const char* kStacks[] = {"Plain", "Async", "Fiber", "Queue"};
  constexpr const char* kFates[] = {"Sampled", "Unsampled", "Promoted"};
  const auto& [source, stack, fate] = param.param;
  return std::string(kSources[static_cast<int>(source)]) + kStacks[static_cast<int>(stack)] +
         kFates[static_cast<int>(fate)];
}

INSTANTIATE_TEST_SUITE_P(All, Parents,
                         Combine(Values(Source::kRoot, Source::kCurrent, Source::kRun,
                                        Source::kHeaders, Source::kContext, Source::kDottedOrder,
                                        Source::kTraceparent),
                                 Values(Stack::kPlain, Stack::kAsync, Stack::kFiber, Stack::kQueue),
                                 Values(Fate::kSampled, Fate::kUnsampled, Fate::kPromoted)),
                         NameOf);

}  // namespace
}  // namespace weft
