// SPDX-License-Identifier: Apache-2.0
// The C++ of docs/tracing.md makes the runs that the page speaks of.
#include "langsmith_users.h"

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/run_matchers.h>

namespace langsmith_users {
namespace {

using ::testing::Contains;

class LangsmithSnippetsTest : public ::testing::Test {
 protected:
  LangsmithSnippetsTest() {
    weft::SetGlobalTracer(weft::Tracer::Create({.exporters = {exporter_}}).value());
  }
  ~LangsmithSnippetsTest() override { weft::SetGlobalTracer(nullptr); }

  /// The only run of that name, which must be the caller's child.
  weft::RunRecord ChildOfCaller(const std::string& name) {
    for (const weft::RunRecord& run : exporter_->Runs()) {
      if (run.DisplayName() != name) continue;
      EXPECT_EQ(run.context.parent_id(), caller_.Parse().parent.id());
      return run;
    }
    ADD_FAILURE() << "no run " << name;
    return {};
  }

  const weft::TraceHeaders caller_{
      .langsmith_trace = "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001",
      .baggage = "langsmith-project=far"};
  const std::shared_ptr<weft::testing::InMemoryExporter> exporter_ =
      std::make_shared<weft::testing::InMemoryExporter>();
};

TEST_F(LangsmithSnippetsTest, ATraceableNamesItsInputs) {
  EXPECT_EQ(Plan("it"), "think about it");
  const weft::RunRecord run = exporter_->Runs().at(0);
  EXPECT_EQ(run.inputs, (weft::JsonObject{{"question", "it"}}));
  EXPECT_THAT(run.AllTags(), Contains("demo"));
}

TEST_F(LangsmithSnippetsTest, HeadersCarryTheRunToWhoIsAsked) {
  EXPECT_EQ(Ask([](const std::string& question,
                   const weft::TraceHeaders& headers) { return AnswerBelow(headers, question); },
                "it"),
            "think about it");
  EXPECT_EQ(exporter_->Tree().ToString(), "ask\n  plan\n");
}

TEST_F(LangsmithSnippetsTest, ATracingContextIsBelowTheCaller) {
  AnswerBelow(caller_, "it");
  EXPECT_THAT(ChildOfCaller("plan").AllTags(), Contains("canary"));
  EXPECT_EQ(ChildOfCaller("plan").context.baggage().project, "far");
}

TEST_F(LangsmithSnippetsTest, OneCallIsBelowTheCaller) {
  AnswerOnceBelow(caller_, "it");
  EXPECT_THAT(ChildOfCaller("plan").AllTags(), Contains("retry"));
}

TEST_F(LangsmithSnippetsTest, ARunContinuesTheCallersAndHasRunsBelow) {
  Continue(caller_, "it");
  EXPECT_EQ(ChildOfCaller("rerank").inputs, (weft::JsonObject{{"k", 8}}));
  EXPECT_THAT(exporter_->Tree().FindRun("plan"), weft::testing::HasParent("rerank"));
}

TEST_F(LangsmithSnippetsTest, AServerIsInterceptedByOneLine) {
  grpc::ServerBuilder builder;
  EXPECT_TRUE(Serve(builder, weft::GlobalTracer()).ok());
}

}  // namespace
}  // namespace langsmith_users
