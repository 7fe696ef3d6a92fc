// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/tracer.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>

#include "tracing_fixture.h"

namespace weft {
namespace {

using testing::HasMetadata;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsInProject;

using TracerTest = TracingTest;

std::string Refusal(TracerOptions options) {
  const auto tracer = Tracer::Create(std::move(options));
  EXPECT_EQ(tracer.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(tracer.status().message());
}

TEST_F(TracerTest, RefusesOptionsThatCannotBeUsedAndNamesThem) {
  EXPECT_THAT(Refusal({.sampling_rate = 1.5}), HasSubstr("sampling_rate: 1.5"));
  EXPECT_THAT(Refusal({.sampling_rate = std::nan("")}), HasSubstr("sampling_rate"));
  EXPECT_THAT(Refusal({.address = "lrn:agents/UP"}), HasSubstr("address: \"lrn:agents/UP\""));
  EXPECT_THAT(Refusal({.project = ""}), HasSubstr("project"));
  EXPECT_THAT(Refusal({.open_run_delay = std::chrono::milliseconds(-1)}),
              HasSubstr("open_run_delay: -1 ms"));
  EXPECT_THAT(Refusal({.exporters = {nullptr}}), HasSubstr("exporters"));
}

TEST_F(TracerTest, GivesARunTheProjectOfTheParentElseOfTheOptionElseItsOwn) {
  const auto tracer = MakeTracer({.project = "configured"});
  { Run run("plain", {.tracer = tracer}); }
  {
    Run run("told", {.project = "told", .tracer = tracer});
    Run child("child", {.project = "ignored"});
  }
  EXPECT_THAT(Tree().FindRun("plain"), IsInProject("configured"));
  EXPECT_THAT(Tree().FindRun("told"), IsInProject("told"));
  EXPECT_THAT(Tree().FindRun("child"), IsInProject("told"));
}

TEST_F(TracerTest, SendsToAnAddressInsteadOfAProject) {
  const auto tracer =
      MakeTracer({.project = "p", .address = "lrn:agents/writer/environments/Staging"});
  { Run run("run", {.tracer = tracer}); }
  EXPECT_EQ(Only().context.baggage().address, "lrn:agents/writer/environments/staging");
  EXPECT_EQ(Only().context.baggage().project, std::nullopt);
}

TEST_F(TracerTest, SamplesWholeTracesByTheirId) {
  const auto tracer = MakeTracer({.sampling_rate = 0.5});
  int sampled = 0;
  for (int i = 0; i < 200; ++i) {
    Run root("root", {.tracer = tracer});
    if (root) ++sampled;
    Run child("child");
    EXPECT_EQ(static_cast<bool>(root), static_cast<bool>(child));
    EXPECT_EQ(child.context().trace_id(), root.context().trace_id());
  }
  EXPECT_GT(sampled, 50);
  EXPECT_LT(sampled, 150);
  EXPECT_EQ(exporter_->Records().size(), 2u * static_cast<unsigned>(sampled));
  EXPECT_EQ(tracer->Stats().created, 400u);
  EXPECT_EQ(tracer->Stats().sampled_out, 400u - 2u * static_cast<unsigned>(sampled));
  EXPECT_THAT(Tree().FindRuns("root")[0], HasMetadata("ls_tracing_sample_rate", 0.5));
}

TEST_F(TracerTest, DecidesForRemoteParentsByTheSameHash) {
  const auto none = MakeTracer({.sampling_rate = 0});
  Run run("run", {.parent = RemoteParent(), .tracer = none});
  EXPECT_FALSE(run);
  EXPECT_TRUE(run.context());
  EXPECT_EQ(none->Stats().sampled_out, 1u);
}

TEST_F(TracerTest, HidesWhatItIsToldToHide) {
  const auto tracer = MakeTracer(
      {.service_name = "s", .hide_inputs = true, .hide_outputs = true, .hide_metadata = true});
  std::string baggage;
  {
    Run run("run", {.parent = RemoteParent(),
                    .inputs = {{"secret", 1}},
                    .metadata = {{"secret", 1}},
                    .tracer = tracer});
    run.SetOutputs({{"secret", 1}});
    run.AddMetadata({{"secret", 2}});
    baggage = run.ToHeaders().baggage;
  }
  EXPECT_THAT(Only().inputs, IsEmpty());
  EXPECT_EQ(Only().outputs, JsonObject());
  EXPECT_FALSE(Only().AllMetadata().contains("secret"));
  EXPECT_FALSE(Only().AllMetadata().contains("user_id"));
  EXPECT_THAT(baggage, ::testing::Not(HasSubstr("metadata")));
}

TEST_F(TracerTest, GivesARunToEveryExporter) {
  const auto other = std::make_shared<testing::InMemoryExporter>();
  const auto tracer = Tracer::Create({.exporters = {exporter_, other}}).value();
  { Run run("run", {.inputs = {{"q", 1}}, .tracer = tracer}); }
  EXPECT_EQ(Only().inputs, (JsonObject{{"q", 1}}));
  ASSERT_EQ(other->Runs().size(), 1u);
  EXPECT_EQ(other->Runs()[0].inputs, (JsonObject{{"q", 1}}));
  EXPECT_EQ(tracer->Stats().exporters.size(), 2u);
}

TEST_F(TracerTest, SendsOpenRunsWhenItShutsDown) {
  const auto tracer = MakeTracer({.open_run_delay = std::chrono::hours(1)});
  Run run("open", {.tracer = tracer});
  EXPECT_TRUE(tracer->Shutdown(std::chrono::seconds(1)));
  EXPECT_FALSE(Only().end);
}

TEST_F(TracerTest, IsFoundFromTheCurrentRunAndThenFromTheGlobalOne) {
  const auto global_exporter = std::make_shared<testing::InMemoryExporter>();
  SetGlobalTracer(Tracer::Create({.exporters = {global_exporter}}).value());
  { Run run("global"); }
  {
    Run run("local", {.tracer = MakeTracer()});
    Run child("child");
  }
  SetGlobalTracer(nullptr);
  EXPECT_EQ(GlobalTracer(), nullptr);
  ASSERT_EQ(global_exporter->Runs().size(), 1u);
  EXPECT_EQ(global_exporter->Runs()[0].name, "global");
  EXPECT_EQ(exporter_->Runs().size(), 2u);
}

TEST_F(TracerTest, MayBeLetGoBeforeItsRunsEnd) {
  auto tracer = MakeTracer();
  Run run("run", {.tracer = tracer, .make_current = false});
  tracer.reset();
  run.End();
  EXPECT_EQ(Only().name, "run");
}

TEST_F(TracerTest, IsOffInAForkedProcess) {
  const auto tracer = MakeTracer();
  Run before("before", {.tracer = tracer});
  const pid_t child = fork();
  if (child == 0) {
    before.SetOutputs({{"in", "child"}});
    before.End();
    const Run run("run", {.tracer = tracer});
    const bool off = !run && !tracer->enabled() && !tracer->Flush(std::chrono::seconds(1));
    _exit(off ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  before.End();
  EXPECT_EQ(Only().outputs, std::nullopt);
}

TEST_F(TracerTest, SaysOnceThatItIsOffInAForkedProcess) {
  const auto tracer = MakeTracer();
  int said[2] = {-1, -1};
  ASSERT_EQ(pipe(said), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(said[1], STDERR_FILENO);
    for (int i = 0; i < 3; ++i) const Run run("run", {.tracer = tracer});
    _exit(tracer->enabled() ? 1 : 0);
  }
  close(said[1]);
  std::string text;
  char c = 0;
  while (read(said[0], &c, 1) == 1) text += c;
  close(said[0]);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(text, "weft: tracing is off in the forked process " + std::to_string(child) + "\n");
}

}  // namespace
}  // namespace weft
