// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run.h>

#include <atomic>
#include <limits>
#include <memory>
#include <stdexcept>
#include <thread>
#include <type_traits>

#include <weft/context/context_scope.h>
#include <weft/tracing/tracing_context.h>

#include "tracing_fixture.h"

namespace weft {
namespace {

using testing::HasError;
using testing::HasMetadata;
using testing::HasNoError;
using testing::HasParent;
using ::testing::HasSubstr;
using testing::HasTag;
using ::testing::IsEmpty;
using testing::IsInProject;
using testing::IsRoot;
using ::testing::Not;

static_assert(std::is_nothrow_move_constructible_v<Run>);
static_assert(!std::is_copy_constructible_v<Run>);

class RunTest : public TracingTest {
 protected:
  const std::shared_ptr<Tracer> tracer_ = MakeTracer();
};

TEST_F(RunTest, IsFoundInAContextThatIsNotCurrent) {
  const Context none;
  EXPECT_FALSE(RunOf(none));
  const Run run("run", {.tracer = tracer_, .make_current = false});
  const Context context = WithRun(none, run);
  EXPECT_EQ(RunOf(context).context().id(), run.context().id());
  EXPECT_FALSE(CurrentRun());
}

TEST_F(RunTest, BecomesTheChildOfTheCurrentRun) {
  {
    Run outer("outer", {.tracer = tracer_});
    Run inner("inner");
    Run innermost("innermost");
  }
  EXPECT_EQ(Tree().ToString(), "outer\n  inner\n    innermost\n");
  EXPECT_THAT(Tree().FindRun("outer"), IsRoot());
}

TEST_F(RunTest, IsCurrentUntilItEnds) {
  Run outer("outer", {.tracer = tracer_});
  {
    Run inner("inner");
    EXPECT_EQ(CurrentRun().context().id(), inner.context().id());
    inner.End();
    EXPECT_EQ(CurrentRun().context().id(), outer.context().id());
  }
  outer.End();
  EXPECT_FALSE(CurrentRun());
}

TEST_F(RunTest, IsNotCurrentWhenThatIsNotWanted) {
  Run outer("outer", {.tracer = tracer_});
  Run aside("aside", {.make_current = false});
  EXPECT_EQ(CurrentRun().context().id(), outer.context().id());
  aside.End();
  outer.End();
  EXPECT_THAT(Tree().FindRun("aside"), HasParent("outer"));
}

TEST_F(RunTest, StartsANewTraceWhenNoParentIsAskedFor) {
  {
    Run outer("outer", {.tracer = tracer_});
    Run other("other", {.parent = kNoParent});
  }
  EXPECT_THAT(Tree().FindRun("other"), IsRoot());
  EXPECT_EQ(Tree().Roots().size(), 2u);
}

TEST_F(RunTest, JoinsTheRunThatHeadersName) {
  { Run run("here", {.parent = RemoteParent(), .project = "mine", .tracer = tracer_}); }
  const auto run = Tree().FindRun("here");
  ASSERT_TRUE(run);
  EXPECT_EQ(run->context.trace_id().ToString(), "019b7c5a-7a00-7a11-9a22-0123456789ab");
  EXPECT_EQ(run->context.parent_id()->ToString(), "019b7c5a-7a00-7a11-9a22-0123456789ab");
  EXPECT_THAT(run, IsInProject("A-project"));
  EXPECT_THAT(run, HasTag("far"));
  EXPECT_THAT(run, HasMetadata("user_id", "u-1"));
}

TEST_F(RunTest, TakesTheBaggageOfHeadersWithoutAParent) {
  {
    Run run("here", {.parent = TraceHeaders{.baggage = "langsmith-project=theirs"}.Parse(),
                     .tracer = tracer_});
  }
  EXPECT_THAT(Tree().FindRun("here"), IsRoot());
  EXPECT_THAT(Tree().FindRun("here"), IsInProject("theirs"));
}

TEST_F(RunTest, JoinsAnExplicitContext) {
  Run a("a", {.tracer = tracer_, .make_current = false});
  { Run b("b", {.parent = a.context(), .tracer = tracer_}); }
  a.End();
  EXPECT_THAT(Tree().FindRun("b"), HasParent("a"));
}

TEST_F(RunTest, HandsMetadataToAllBelowAndToHeaders) {
  TraceHeaders headers;
  {
    Run outer("outer", {.metadata = {{"user_id", "u"}, {"k", 1}}, .tracer = tracer_});
    Run middle("middle", {.metadata = {{"k", 2}}});
    Run inner("inner");
    headers = inner.ToHeaders();
  }
  EXPECT_THAT(Tree().FindRun("inner"), HasMetadata("user_id", "u"));
  EXPECT_THAT(Tree().FindRun("inner"), HasMetadata("k", 2));
  EXPECT_THAT(Tree().FindRun("outer"), HasMetadata("k", 1));
  EXPECT_EQ(headers.Parse().baggage->metadata, (JsonObject{{"user_id", "u"}, {"k", 2}}));
}

TEST_F(RunTest, KeepsItsTagsToItselfButForHeaders) {
  TraceHeaders headers;
  RunContext explicit_parent;
  {
    Run outer("outer", {.tags = {"own"}, .tracer = tracer_});
    headers = outer.ToHeaders();
    Run inner("inner");
    Run told("told", {.parent = outer.context()});
  }
  EXPECT_THAT(Tree().FindRun("outer"), HasTag("own"));
  EXPECT_THAT(Tree().FindRun("inner"), Not(HasTag("own")));
  EXPECT_THAT(Tree().FindRun("told"), Not(HasTag("own")));
  EXPECT_EQ(headers.Parse().baggage->tags, std::vector<std::string>{"own"});
}

TEST_F(RunTest, SaysEachOfManyTagsOnceInTheirOrder) {
  std::vector<std::string> tags;
  for (int i = 0; i < 1000; ++i) tags.push_back(std::to_string(i));
  std::vector<std::string> twice = tags;
  twice.insert(twice.end(), tags.rbegin(), tags.rend());
  twice.push_back("last");
  {
    const TracingContext in({.tags = twice, .tracer = tracer_});
    Run run("run", {.tags = twice});
    run.AddTags(twice);
  }
  tags.push_back("last");
  EXPECT_EQ(Only().AllTags(), tags);
  EXPECT_EQ(Only().context.baggage().tags, tags);
}

TEST_F(RunTest, PutsNothingOfTheProcessIntoHeaders) {
  const auto tracer = MakeTracer({.service_name = "secret-service"});
  const auto kind = std::make_shared<const RunTemplate>("kind", RunType::kTool,
                                                        JsonObject{{"rpc.system", "grpc"}});
  std::string baggage;
  {
    Run run(kind, {.tracer = tracer});
    run.AddAttribute("rpc.status", std::int64_t{3});
    run.AddMetadata({{"late", true}});
    baggage = run.ToHeaders().baggage;
  }
  const auto run = Tree().FindRun("kind");
  EXPECT_THAT(run, HasMetadata("service.name", "secret-service"));
  EXPECT_THAT(run, HasMetadata("process.pid", static_cast<std::int64_t>(getpid())));
  EXPECT_THAT(run, HasMetadata("rpc.system", "grpc"));
  EXPECT_THAT(run, HasMetadata("rpc.status", 3));
  EXPECT_THAT(run, HasMetadata("late", true));
  EXPECT_EQ(baggage, "langsmith-project=default");
}

TEST_F(RunTest, RecordsWhatItIsTold) {
  {
    Run run("first", {.run_type = RunType::kLlm, .inputs = {{"q", 1}}, .tracer = tracer_});
    run.SetName("second");
    run.SetInputs({{"q", 2}});
    run.SetOutputs({{"a", 3}});
    run.AddEvent("new_token", {{"token", "x"}});
    run.Attach("a.png", "image/png", "bytes");
    run.AddTags({"t"});
  }
  const RunRecord run = Only();
  EXPECT_EQ(run.name, "second");
  EXPECT_EQ(run.type, RunType::kLlm);
  EXPECT_EQ(run.inputs, (JsonObject{{"q", 2}}));
  EXPECT_EQ(run.outputs, (JsonObject{{"a", 3}}));
  ASSERT_EQ(run.events.size(), 1u);
  EXPECT_EQ(run.events[0].name, "new_token");
  ASSERT_EQ(run.attachments.size(), 1u);
  EXPECT_EQ(run.attachments[0].name, "a_png");
  EXPECT_EQ(run.AllTags(), std::vector<std::string>{"t"});
}

TEST_F(RunTest, AddsUsageUp) {
  {
    Run run("llm", {.tracer = tracer_});
    run.AddUsage({.input_tokens = 812, .output_tokens = 96, .input_cost = 0.5});
    run.AddUsage({.input_tokens = 8, .output_tokens = 4, .total_tokens = 20, .input_cost = 0.25});
  }
  EXPECT_EQ(Only().metadata["usage_metadata"], (Json{{"input_tokens", 820},
                                                     {"output_tokens", 100},
                                                     {"total_tokens", 928},
                                                     {"input_cost", 0.75}}));
}

TEST_F(RunTest, AddsTheDetailsOfUsageUp) {
  {
    Run run("llm", {.tracer = tracer_});
    run.AddUsage({.input_token_details = {{"cache_read", 5}, {"audio", 1.5}}});
    run.AddUsage({.input_token_details = {{"cache_read", 7}, {"audio", "no number"}}});
    run.AddUsage({.input_token_details = {{"audio", std::uint64_t{1} << 63}}, .total_cost = 0.5});
  }
  EXPECT_EQ(Only().metadata["usage_metadata"],
            (Json{{"input_token_details", {{"cache_read", 12}, {"audio", std::uint64_t{1} << 63}}},
                  {"total_cost", 0.5}}));
}

TEST_F(RunTest, AddsUsageToWhateverIsThere) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  {
    Run run("llm", {.tracer = tracer_});
    run.AddMetadata({{"usage_metadata",
                      {{"input_tokens", "many"}, {"output_tokens", 1.5}, {"input_cost", {}}}}});
    run.AddUsage({.input_tokens = 3, .output_tokens = 2, .input_cost = 0.5});
    run.AddUsage({.input_tokens = kMost, .output_tokens = kMost});
  }
  const Json usage = Only().metadata["usage_metadata"];
  const double most = static_cast<double>(kMost);
  EXPECT_EQ(usage.at("input_tokens"), Json(most + 3));
  EXPECT_EQ(usage.at("output_tokens"), Json(most + 3.5));
  EXPECT_EQ(usage.at("total_tokens"), Json(2 * most + 5));
  EXPECT_EQ(usage.at("input_cost"), Json(0.5));
}

TEST_F(RunTest, NamesTheModelWhereLangSmithLooksForIt) {
  {
    Run run("llm", {.tracer = tracer_});
    run.SetModel("openai", "gpt-4o-mini");
  }
  EXPECT_EQ(Only().metadata,
            (JsonObject{{"ls_provider", "openai"}, {"ls_model_name", "gpt-4o-mini"}}));
}

TEST_F(RunTest, TakesTheTimeOfAnEventThatIsOver) {
  const auto before = clock_->Now() - std::chrono::seconds(3);
  {
    Run run("run", {.tracer = tracer_});
    run.AddEvent("cached", before, {{"key", "k"}});
  }
  ASSERT_EQ(Only().events.size(), 1u);
  EXPECT_EQ(Only().events[0].time, before);
  EXPECT_EQ(Only().events[0].kwargs, (JsonObject{{"key", "k"}}));
}

// What Run::SetError knows of a grpc::Status.
struct RpcStatus {
  int code = 0;
  std::string message{};
  int error_code() const { return code; }
  std::string error_message() const { return message; }
};

TEST_F(RunTest, TakesTheStatusOfACallAsTheError) {
  {
    Run run("run", {.tracer = tracer_});
    run.SetError(RpcStatus{});
    EXPECT_TRUE(run.recording());
    run.SetError(RpcStatus{5, "no such cart"});
    run.SetError(RpcStatus{});
  }
  EXPECT_EQ(Only().error, "NOT_FOUND: no such cart");
}

TEST_F(RunTest, TakesItsDurationFromTheSteadyClock) {
  const auto start = clock_->Now();
  {
    Run run("run", {.tracer = tracer_});
    clock_->Advance(std::chrono::milliseconds(250));
    clock_->StepWallClock(-std::chrono::hours(1));
  }
  EXPECT_EQ(Only().start, start);
  EXPECT_EQ(*Only().end, start + std::chrono::milliseconds(250));
}

TEST_F(RunTest, KeepsAStartAndAnEndThatItIsTold) {
  const auto start = clock_->Now() - std::chrono::seconds(5);
  Run past("past", {.start = start, .tracer = tracer_});
  past.End();
  EXPECT_EQ(Only().start, start);
  EXPECT_EQ(*Only().end, clock_->Now());
  exporter_->Clear();
  Run run("run", {.tracer = tracer_});
  run.End(start);
  EXPECT_EQ(*Only().end, start);
}

TEST_F(RunTest, EndsOnce) {
  Run run("run", {.tracer = tracer_});
  EXPECT_TRUE(run);
  run.End();
  run.End();
  EXPECT_FALSE(run);
  EXPECT_EQ(exporter_->Records().size(), 1u);
}

TEST_F(RunTest, CountsSettersAfterTheEnd) {
  Run run("run", {.tracer = tracer_});
  run.End();
  run.SetOutputs({{"late", true}});
  run.AddTags({"late"});
  EXPECT_EQ(Only().outputs, std::nullopt);
  EXPECT_EQ(tracer_->Stats().setter_after_end, 2u);
}

TEST_F(RunTest, FailsWhenAnExceptionLeavesItsBlock) {
  try {
    Run run("run", {.tracer = tracer_});
    throw std::runtime_error("unseen");
  } catch (const std::runtime_error&) {
    Run handler("in the handler", {.tracer = tracer_});
  }
  EXPECT_THAT(Tree().FindRun("run"), HasError(HasSubstr("exception")));
  EXPECT_THAT(Tree().FindRun("in the handler"), HasNoError());
}

struct RunsWhileUnwinding {
  std::shared_ptr<Tracer> tracer;
  ~RunsWhileUnwinding() { Run run("cleanup", {.tracer = tracer}); }
};

TEST_F(RunTest, DoesNotFailForAnExceptionThatWasThereBefore) {
  try {
    const RunsWhileUnwinding cleanup{tracer_};
    throw std::runtime_error("earlier");
  } catch (const std::runtime_error&) {
  }
  EXPECT_THAT(Tree().FindRun("cleanup"), HasNoError());
}

TEST_F(RunTest, TakesErrorsAsTextStatusAndException) {
  {
    Run text("text", {.tracer = tracer_});
    text.SetError("broken");
    Run status("status");
    status.SetError(absl::NotFoundError("no such page"));
    Run exception("exception");
    exception.SetError(std::make_exception_ptr(std::runtime_error("thrown")));
    Run fine("fine");
    fine.SetError(absl::OkStatus());
    fine.SetError(std::exception_ptr());
  }
  EXPECT_THAT(Tree().FindRun("text"), HasError("broken"));
  EXPECT_THAT(Tree().FindRun("status"), HasError("NOT_FOUND: no such page"));
  EXPECT_THAT(Tree().FindRun("exception"), HasError("std::runtime_error: thrown"));
  EXPECT_THAT(Tree().FindRun("fine"), HasNoError());
}

TEST_F(RunTest, MayMoveToAnotherThreadAndEndThere) {
  Run run("run", {.tracer = tracer_, .make_current = false});
  std::thread([moved = std::move(run)]() mutable {
    moved.SetOutputs({{"there", true}});
    moved.End();
  }).join();
  EXPECT_EQ(Only().outputs, (JsonObject{{"there", true}}));
  EXPECT_FALSE(run);  // NOLINT(bugprone-use-after-move): what a moved run says is promised.
}

TEST_F(RunTest, EndsTheRunThatIsAssignedOver) {
  Run run("first", {.tracer = tracer_, .make_current = false});
  run = Run("second", {.tracer = tracer_, .make_current = false});
  EXPECT_EQ(Only().name, "first");
}

TEST_F(RunTest, CurrentRunSetsWhatTheOwnerMayNotSee) {
  {
    Run run("run", {.tracer = tracer_});
    const RunRef ref = CurrentRun();
    ASSERT_TRUE(ref);
    ref.AddMetadata({{"k", 1}});
    ref.AddTags({"t"});
    ref.AddEvent("e");
    ref.SetOutputs({{"o", 1}});
    ref.AddUsage({.input_tokens = 1});
  }
  const RunRecord run = Only();
  EXPECT_EQ(run.metadata.size(), 2u);
  EXPECT_EQ(run.tags.size(), 1u);
  EXPECT_EQ(run.events.size(), 1u);
  EXPECT_TRUE(run.outputs);
}

TEST_F(RunTest, CurrentRunDoesNothingOnARemoteOrEndedRun) {
  const ContextScope scope(WithParent(Context(), RemoteParent()));
  CurrentRun().AddMetadata({{"k", 1}});
  EXPECT_TRUE(CurrentRun().context().is_remote());
  RunRef ended;
  {
    Run run("run", {.tracer = tracer_});
    ended = CurrentRun();
  }
  ended.AddMetadata({{"k", 1}});
  EXPECT_THAT(Only().metadata, IsEmpty());
  EXPECT_EQ(tracer_->Stats().setter_after_end, 1u);
}

TEST_F(RunTest, CurrentRunTakesSettersFromManyThreads) {
  {
    Run run("run", {.tracer = tracer_});
    const RunRef ref = CurrentRun();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([ref] {
        for (int n = 0; n < 100; ++n) ref.AddEvent("e");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(Only().events.size(), 400u);
}

TEST_F(RunTest, WithRunMakesItCurrentForWorkThatSomebodyElseStarts) {
  Run run("run", {.tracer = tracer_, .make_current = false});
  const Context context = WithRun(Context::Current(), run);
  std::thread([context] {
    const ContextScope scope(context);
    Run inner("inner");
  }).join();
  run.End();
  EXPECT_THAT(Tree().FindRun("inner"), HasParent("run"));
}

TEST_F(RunTest, ChildrenMayOutliveTheParent) {
  Run parent("parent", {.tracer = tracer_});
  Run child("child", {.make_current = false});
  parent.End();
  child.End();
  EXPECT_THAT(Tree().FindRun("child"), HasParent("parent"));
}

TEST_F(RunTest, IsSentWhileOpenAndAgainAtItsEnd) {
  const auto tracer = MakeTracer({.open_run_delay = std::chrono::milliseconds(40)});
  Run run("long", {.inputs = {{"q", 1}}, .tracer = tracer, .make_current = false});
  run.Attach("a", "text/plain", "x");
  clock_->Advance(std::chrono::milliseconds(41));
  ASSERT_TRUE(exporter_->WaitForRecords(1));
  const RunRecord post = exporter_->Records()[0];
  EXPECT_EQ(post.operation, RunRecord::Operation::kPost);
  EXPECT_FALSE(post.end);
  EXPECT_EQ(post.inputs, (JsonObject{{"q", 1}}));
  run.SetOutputs({{"a", 2}});
  run.End();
  ASSERT_EQ(exporter_->Records().size(), 2u);
  const RunRecord patch = exporter_->Records()[1];
  EXPECT_EQ(patch.operation, RunRecord::Operation::kPatch);
  EXPECT_TRUE(patch.end);
  EXPECT_THAT(patch.inputs, IsEmpty());
  EXPECT_THAT(patch.attachments, IsEmpty());
  EXPECT_EQ(Only().outputs, (JsonObject{{"a", 2}}));
  EXPECT_EQ(Only().inputs, (JsonObject{{"q", 1}}));
}

TEST_F(RunTest, SaysItsInputsAgainAtTheEndWhereThatIsWanted) {
  for (const bool excluded : {true, false}) {
    const auto exporter = std::make_shared<testing::InMemoryExporter>();
    const auto tracer = Tracer::Create({.open_run_delay = std::chrono::milliseconds(0),
                                        .exclude_inputs_on_patch = excluded,
                                        .exporters = {exporter}})
                            .value();
    {
      Run run("long", {.inputs = {{"q", 1}}, .tracer = tracer});
      run.SetInputs({{"q", 2}});
    }
    const Runs records = exporter->Records();
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].inputs, (JsonObject{{"q", 1}}));
    // What is new is said in any case.
    EXPECT_EQ(records[1].inputs, (JsonObject{{"q", 2}}));
    { Run run("longer", {.inputs = {{"q", 1}}, .tracer = tracer}); }
    EXPECT_EQ(exporter->Records()[3].inputs.empty(), excluded);
  }
}

TEST_F(RunTest, IsSentAtOnceWithoutADelay) {
  const auto tracer = MakeTracer({.open_run_delay = std::chrono::milliseconds(0)});
  Run run("run", {.tracer = tracer});
  EXPECT_EQ(exporter_->Records().size(), 1u);
  run.End();
  EXPECT_EQ(exporter_->Records().size(), 2u);
}

TEST_F(RunTest, IsOneRecordWhenItIsShort) {
  const auto tracer = MakeTracer({.open_run_delay = std::chrono::milliseconds(40)});
  { Run run("short", {.tracer = tracer}); }
  Run marker("long", {.tracer = tracer, .make_current = false});
  clock_->Advance(std::chrono::hours(1));
  ASSERT_TRUE(exporter_->WaitForRecords(2));
  EXPECT_EQ(exporter_->Records()[0].name, "short");
  EXPECT_EQ(exporter_->Records()[0].operation, RunRecord::Operation::kPost);
  EXPECT_TRUE(exporter_->Records()[0].end);
}

TEST_F(RunTest, DoesNothingWithoutATracer) {
  Run run("run");
  run.SetOutputs({{"a", 1}});
  run.SetError("x");
  EXPECT_FALSE(run);
  EXPECT_FALSE(run.context());
  EXPECT_TRUE(run.ToHeaders().langsmith_trace.empty());
  EXPECT_FALSE(CurrentRun());
}

TEST_F(RunTest, LetsHeadersThroughWhenTracingIsOff) {
  const auto off = MakeTracer({.enabled = false});
  const ContextScope scope(WithParent(Context(), RemoteParent()));
  Run run("run", {.tracer = off});
  EXPECT_FALSE(run);
  for (const TraceHeaders& headers : {run.ToHeaders(), CurrentRun().ToHeaders()}) {
    EXPECT_EQ(headers.langsmith_trace,
              "20260102T030400000000Z019b7c5a-7a00-7a11-9a22-0123456789ab");
    EXPECT_THAT(headers.baggage, HasSubstr("langsmith-project=A-project"));
  }
  EXPECT_EQ(off->Stats().created, 0u);
}

TEST_F(RunTest, LetsAnExplicitParentThroughWhenTracingIsOff) {
  const auto off = MakeTracer({.enabled = false});
  Run run("run", {.parent = RemoteParent(), .tracer = off});
  EXPECT_TRUE(run.context().is_remote());
  EXPECT_THAT(exporter_->Records(), IsEmpty());
}

TEST_F(RunTest, LetsBaggageWithoutAParentThroughWhenTracingIsOff) {
  const auto off = MakeTracer({.enabled = false});
  Run run("run", {.parent = TraceHeaders{.baggage = "vendor=1"}.Parse(), .tracer = off});
  EXPECT_EQ(run.ToHeaders().baggage, "vendor=1");
}

/// Attachments that are costly to make.
class LatePictures final : public RunPayload {
 public:
  void RenderInto(RunRecord& record, Hidden) const override {
    if (record.end && went_) return;
    record.attachments.push_back({"picture", "image/png", "..."});
  }
  void SendsOpen() const noexcept override { went_ = true; }
  std::size_t size() const noexcept override { return 3; }

 private:
  mutable std::atomic<bool> went_{false};
};

TEST_F(RunTest, ThatIsSentWhileItIsOpenTellsItsPayload) {
  const auto tracer = MakeTracer({.open_run_delay = std::chrono::seconds(2)});
  for (const bool open : {false, true}) {
    exporter_->Clear();
    Run run("run", {.tracer = tracer});
    run.SetPayload(std::make_shared<LatePictures>());
    if (open) {
      clock_->Advance(std::chrono::seconds(3));
      ASSERT_TRUE(exporter_->WaitForRecords(1));
    }
    run.End();
    std::size_t pictures = 0;
    for (const RunRecord& record : exporter_->Records()) pictures += record.attachments.size();
    EXPECT_EQ(pictures, 1u) << open;
  }
}

}  // namespace
}  // namespace weft
