// SPDX-License-Identifier: Apache-2.0
#include "trace_check.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "text.h"

namespace weft::cli {
namespace {

using ById = std::unordered_map<std::string_view, const RunView*>;

std::string Label(const RunView& run) {
  return "run " + run.id + " (" + EscapeControls(run.name) + ")";
}

const RunView* ParentOf(const RunView& run, const ById& by_id) {
  const auto found = by_id.find(run.parent_id);
  return found == by_id.end() ? nullptr : found->second;
}

void CheckRun(const RunView& run, const ById& by_id, std::string_view trace_id,
              std::vector<std::string>& problems) {
  const auto problem = [&](const std::string& text) {
    problems.push_back(Label(run) + " " + text);
  };
  if (run.trace_id != trace_id) problem("is of another trace, " + run.trace_id);
  if (!run.parent_id.empty() && ParentOf(run, by_id) == nullptr) {
    problem("has a parent that is not here, " + run.parent_id);
  }
  if (!run.end_us) problem("has not ended");
  if (run.service.empty()) problem("has no metadata service.name");
  if (run.process_id.empty()) problem("has no metadata process.pid");
}

/// A run that says anything of an RPC must say all of it.
void CheckRpc(const RunView& run, const ById& by_id, std::vector<std::string>& problems) {
  if (run.otel_kind.empty() && run.rpc_system.empty() && run.rpc_method.empty()) return;
  const auto problem = [&](const std::string& text) {
    problems.push_back(Label(run) + " " + text);
  };
  if (run.rpc_system != "grpc") problem("has not the metadata rpc.system = grpc");
  if (run.rpc_service.empty()) problem("has no metadata rpc.service");
  if (run.rpc_method.empty()) problem("has no metadata rpc.method");
  if (run.rpc_kind.empty()) problem("has no metadata rpc.grpc.kind");
  if (run.otel_kind != "CLIENT" && run.otel_kind != "SERVER") {
    problem("has not the metadata otel_kind = CLIENT or SERVER");
  }
  if (run.otel_kind != "SERVER") return;
  if (run.server_api.empty()) problem("has no metadata weft.server_api");
  const RunView* parent = ParentOf(run, by_id);
  if (parent == nullptr || !parent->IsClient() || parent->rpc_service != run.rpc_service ||
      parent->rpc_method != run.rpc_method) {
    problem("is no child of the client's run of the same method");
  } else if (parent->process_id == run.process_id) {
    problem("is in the same process as its client");
  }
}

void CheckWhole(std::span<const RunView> runs, const ById& by_id,
                const TraceExpectation& expectation, std::vector<std::string>& problems) {
  std::set<std::string_view> client_kinds, server_kinds, apis, processes, services;
  std::size_t roots = 0;
  bool local_step = false;
  for (const RunView& run : runs) {
    roots += run.parent_id.empty();
    processes.insert(run.process_id);
    services.insert(run.service);
    if (run.IsClient()) client_kinds.insert(run.rpc_kind);
    if (run.IsServer()) server_kinds.insert(run.rpc_kind);
    if (run.IsServer()) apis.insert(run.server_api);
    const RunView* parent = ParentOf(run, by_id);
    local_step |= !run.IsRpc() && parent != nullptr && parent->IsServer();
  }
  if (roots != 1) problems.push_back(std::to_string(roots) + " roots instead of one");
  for (const std::string& kind : expectation.rpc_kinds) {
    if (!client_kinds.contains(kind)) problems.push_back("no client run of kind " + kind);
    if (!server_kinds.contains(kind)) problems.push_back("no server run of kind " + kind);
  }
  for (const std::string& api : expectation.server_apis) {
    if (!apis.contains(api)) problems.push_back("no server run of the API " + api);
  }
  const auto at_least = [&](std::size_t have, std::size_t want, const char* what) {
    if (have >= want) return;
    problems.push_back("only " + std::to_string(have) + " " + what + " instead of " +
                       std::to_string(want));
  };
  at_least(processes.size(), expectation.processes, "processes");
  at_least(services.size(), expectation.services, "services");
  if (!local_step) problems.emplace_back("no local step is a child of a server run");
}

}  // namespace

TraceProblems CheckTrace(std::span<const RunView> runs, const TraceExpectation& expectation) {
  if (runs.empty()) return {.missing = {"no runs"}, .failed = {}};
  ById by_id;
  for (const RunView& run : runs) by_id.emplace(run.id, &run);
  TraceProblems problems;
  for (const RunView& run : runs) {
    CheckRun(run, by_id, runs.front().trace_id, problems.missing);
    CheckRpc(run, by_id, problems.missing);
    if (run.status == "error") {
      problems.failed.push_back(Label(run) + " failed: " + EscapeControls(run.error));
    }
  }
  CheckWhole(runs, by_id, expectation, problems.missing);
  return problems;
}

}  // namespace weft::cli
