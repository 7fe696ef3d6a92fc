// SPDX-License-Identifier: Apache-2.0
// The C++ of docs/tracing.md.
#include "langsmith_users.h"

// snippet: imports
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>
// end snippet

namespace langsmith_users {

std::string Plan(const std::string& question) {
  // snippet: traceable
  auto plan = weft::Traceable(
      "plan", {.run_type = weft::RunType::kLlm, .arguments = {"question"}, .tags = {"demo"}},
      [](const std::string& text) { return "think about " + text; });
  std::string answer = plan(question);
  // end snippet
  return answer;
}

std::string Ask(const Send& send, const std::string& question) {
  // snippet: to_headers
  weft::Run run("ask", {.inputs = {{"question", question}}});
  const weft::TraceHeaders headers = weft::CurrentRun().ToHeaders();
  std::string answer = send(question, headers);  // headers.langsmith_trace, headers.baggage
  // end snippet
  return answer;
}

absl::Status Serve(grpc::ServerBuilder& builder, const std::shared_ptr<weft::Tracer>& tracer) {
  // snippet: middleware
  absl::Status status = weft::InterceptServer(builder, {.tracer = tracer});  // gRPC
  // end snippet
  return status;
}

std::string AnswerBelow(const weft::TraceHeaders& headers, const std::string& question) {
  // snippet: tracing_context
  const weft::TracingContext in({.parent = headers.Parse(), .tags = {"canary"}});
  std::string answer = Plan(question);
  // end snippet
  return answer;
}

std::string AnswerOnceBelow(const weft::TraceHeaders& headers, const std::string& question) {
  auto plan =
      weft::Traceable("plan", [](const std::string& text) { return "think about " + text; });
  // snippet: langsmith_extra
  std::string answer = plan.With({.parent = headers.Parse(), .tags = {"retry"}})(question);
  // end snippet
  return answer;
}

std::string Continue(const weft::TraceHeaders& headers, const std::string& question) {
  // snippet: from_headers
  weft::Run run("rerank", {.run_type = weft::RunType::kTool,
                           .parent = headers.Parse(),
                           .inputs = {{"k", 8}},
                           .make_current = false});
  run.SetOutputs({{"ids", {3, 1}}});
  // end snippet
  // snippet: with_run_tree
  const weft::ContextScope scope(weft::WithRun(weft::Context::Current(), run));
  std::string answer = Plan(question);
  // end snippet
  return answer;
}

}  // namespace langsmith_users
