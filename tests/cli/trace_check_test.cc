// SPDX-License-Identifier: Apache-2.0
#include "trace_check.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RunView MakeRun(const std::string& id, const std::string& parent, const std::string& process) {
  RunView run;
  run.id = id;
  run.trace_id = "t";
  run.parent_id = parent;
  run.name = id;
  run.status = "success";
  run.start_us = 1;
  run.end_us = 2;
  run.service = "service-" + process;
  run.process_id = process;
  return run;
}

RunView MakeSide(const std::string& id, const std::string& parent, const std::string& process,
                 const std::string& kind) {
  RunView run = MakeRun(id, parent, process);
  run.otel_kind = kind;
  run.rpc_system = "grpc";
  run.rpc_service = "S";
  run.rpc_method = "M";
  run.rpc_kind = "unary";
  if (kind == "SERVER") run.server_api = "sync";
  return run;
}

/// A caller, both sides of a call, and a step in the handler.
std::vector<RunView> Complete() {
  return {MakeRun("root", "", "1"), MakeSide("client", "root", "1", "CLIENT"),
          MakeSide("server", "client", "2", "SERVER"), MakeRun("step", "server", "2")};
}

TraceExpectation Expected() {
  return {.rpc_kinds = {"unary"}, .server_apis = {"sync"}, .processes = 2, .services = 2};
}

std::vector<std::string> CheckAfter(const std::function<void(std::vector<RunView>&)>& change) {
  std::vector<RunView> runs = Complete();
  change(runs);
  return CheckTrace(runs, Expected()).missing;
}

TEST(TraceCheckTest, AcceptsACompleteTrace) {
  const TraceProblems problems = CheckTrace(Complete(), Expected());
  EXPECT_THAT(problems.missing, IsEmpty());
  EXPECT_THAT(problems.failed, IsEmpty());
}

TEST(TraceCheckTest, RefusesATraceWithoutRuns) {
  EXPECT_THAT(CheckTrace({}, Expected()).missing, Contains("no runs"));
}

TEST(TraceCheckTest, NamesARunWhoseParentIsNotThere) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[3].parent_id = "gone"; }),
              Contains(AllOf(HasSubstr("step"), HasSubstr("gone"))));
}

TEST(TraceCheckTest, RefusesTwoRoots) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs.push_back(MakeRun("other", "", "1")); }),
              Contains(HasSubstr("2 roots")));
}

TEST(TraceCheckTest, RefusesARunOfAnotherTrace) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[3].trace_id = "u"; }),
              Contains(HasSubstr("another trace")));
}

TEST(TraceCheckTest, NamesARunThatHasNotEnded) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[3].end_us.reset(); }),
              Contains(HasSubstr("not ended")));
}

TEST(TraceCheckTest, TellsRunsThatFailedFromWhatIsMissing) {
  std::vector<RunView> runs = Complete();
  runs[3].status = "error";
  runs[3].error = "broke";
  const TraceProblems problems = CheckTrace(runs, Expected());
  EXPECT_THAT(problems.missing, IsEmpty());
  EXPECT_THAT(problems.failed, Contains(AllOf(HasSubstr("step"), HasSubstr("broke"))));
}

TEST(TraceCheckTest, WantsServiceAndProcessOnEveryRun) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[0].service.clear(); }),
              Contains(HasSubstr("service.name")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[0].process_id.clear(); }),
              Contains(HasSubstr("process.pid")));
}

TEST(TraceCheckTest, WantsAllMetadataOnEverySideOfACall) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[1].rpc_system.clear(); }),
              Contains(HasSubstr("rpc.system")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[1].rpc_kind.clear(); }),
              Contains(HasSubstr("rpc.grpc.kind")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[2].server_api.clear(); }),
              Contains(HasSubstr("weft.server_api")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[1].otel_kind.clear(); }),
              Contains(HasSubstr("otel_kind")));
}

TEST(TraceCheckTest, WantsTheServerBelowTheClientOfTheSameMethodInAnotherProcess) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[2].rpc_method = "Other"; }),
              Contains(HasSubstr("same method")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[2].parent_id = "root"; }),
              Contains(HasSubstr("same method")));
  EXPECT_THAT(CheckAfter([](auto& runs) { runs[2].process_id = "1"; }),
              Contains(HasSubstr("same process")));
}

TEST(TraceCheckTest, WantsALocalStepBelowAServer) {
  EXPECT_THAT(CheckAfter([](auto& runs) { runs.pop_back(); }), Contains(HasSubstr("local step")));
}

TEST(TraceCheckTest, WantsEveryKindEveryApiAndEnoughProcesses) {
  TraceExpectation expected = Expected();
  expected.rpc_kinds.push_back("bidi_stream");
  expected.server_apis.push_back("cq");
  expected.processes = 3;
  const std::vector<std::string> missing = CheckTrace(Complete(), expected).missing;
  EXPECT_THAT(missing, Contains("no client run of kind bidi_stream"));
  EXPECT_THAT(missing, Contains("no server run of kind bidi_stream"));
  EXPECT_THAT(missing, Contains("no server run of the API cq"));
  EXPECT_THAT(missing, Contains("only 2 processes instead of 3"));
}

}  // namespace
}  // namespace weft::cli
