// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/tracing_context.h>

#include <thread>

#include "tracing_fixture.h"

namespace weft {
namespace {

using testing::HasMetadata;
using testing::HasParent;
using testing::HasTag;
using ::testing::IsEmpty;
using testing::IsInProject;
using testing::IsRoot;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class TracingContextTest : public TracingTest {
 protected:
  const std::shared_ptr<Tracer> tracer_ = MakeTracer();
};

TEST_F(TracingContextTest, GivesEveryRunBelowItsTagsAndMetadata) {
  TraceHeaders headers;
  {
    const TracingContext outer(
        {.tags = {"a"}, .metadata = {{"k", 1}, {"o", 1}}, .tracer = tracer_});
    Run first("first");
    const TracingContext inner({.tags = {"b", "a"}, .metadata = {{"k", 2}}});
    Run second("second");
    Run third("third");
    headers = third.ToHeaders();
  }
  Run after("after", {.tracer = tracer_});
  after.End();
  EXPECT_EQ(Tree().FindRun("first")->AllTags(), std::vector<std::string>{"a"});
  for (const char* const name : {"second", "third"}) {
    EXPECT_THAT(Tree().FindRun(name)->AllTags(), UnorderedElementsAre("a", "b"));
    EXPECT_THAT(Tree().FindRun(name), HasMetadata("k", 2));
    EXPECT_THAT(Tree().FindRun(name), HasMetadata("o", 1));
  }
  EXPECT_THAT(Tree().FindRun("after")->AllTags(), IsEmpty());
  EXPECT_THAT(headers.Parse().baggage->tags, UnorderedElementsAre("a", "b"));
}

TEST_F(TracingContextTest, GivesRootsAProjectButNotRunsWithAParent) {
  const TracingContext context({.project = "mine", .tracer = tracer_});
  {
    Run root("root");
    const TracingContext other({.project = "other"});
    Run child("child");
    Run own("own", {.parent = kNoParent, .project = "own"});
  }
  EXPECT_THAT(Tree().FindRun("root"), IsInProject("mine"));
  EXPECT_THAT(Tree().FindRun("child"), IsInProject("mine"));
  EXPECT_THAT(Tree().FindRun("own"), IsInProject("own"));
}

TEST_F(TracingContextTest, GivesAParentFromHeaders) {
  {
    const TracingContext context({.parent = RemoteParent(), .tracer = tracer_});
    Run outer("outer");
    Run inner("inner");
  }
  EXPECT_TRUE(Tree().FindRun("outer")->context.parent_id());
  EXPECT_THAT(Tree().FindRun("inner"), HasParent("outer"));
  EXPECT_THAT(Tree().FindRun("inner"), HasTag("far"));
  EXPECT_THAT(Tree().FindRun("inner"), IsInProject("A-project"));
}

TEST_F(TracingContextTest, HidesTheCurrentRunWhenNoParentIsAskedFor) {
  Run outer("outer", {.tracer = tracer_});
  {
    const TracingContext context({.parent = kNoParent, .tracer = tracer_});
    EXPECT_FALSE(CurrentRun());
    Run root("root");
  }
  EXPECT_THAT(Tree().FindRun("root"), IsRoot());
  EXPECT_EQ(CurrentRun().context().id(), outer.context().id());
}

TEST_F(TracingContextTest, SwitchesTracingOnAndOff) {
  const auto off = MakeTracer({.enabled = false});
  {
    const TracingContext context({.enabled = true, .tracer = off});
    Run on("on");
    const TracingContext quiet({.enabled = false});
    Run hidden("hidden");
    EXPECT_EQ(hidden.context().id(), on.context().id());
  }
  EXPECT_EQ(Tree().ToString(), "on\n");
}

TEST_F(TracingContextTest, TheInnermostOfRunAndContextNamesTheTracer) {
  const auto other_exporter = std::make_shared<testing::InMemoryExporter>();
  const auto other = Tracer::Create({.exporters = {other_exporter}}).value();
  {
    const TracingContext context({.tracer = tracer_});
    Run mine("mine");
    Run theirs("theirs", {.tracer = other});
    Run below("below");
    const TracingContext back({.tracer = tracer_});
    Run again("again");
  }
  EXPECT_EQ(other_exporter->Runs().size(), 2u);
  EXPECT_THAT(Tree().FindRun("again"), Not(IsRoot()));
  EXPECT_EQ(exporter_->Runs().size(), 2u);
}

TEST_F(TracingContextTest, IsAContextForOtherThreads) {
  const Context context =
      WithTracing(Context(), {.parent = RemoteParent(), .tags = {"t"}, .tracer = tracer_});
  std::thread([context] {
    const ContextScope scope(context);
    Run run("there");
  }).join();
  EXPECT_THAT(Tree().FindRun("there"), HasTag("t"));
  EXPECT_THAT(Tree().FindRun("there"), IsInProject("A-project"));
}

}  // namespace
}  // namespace weft
