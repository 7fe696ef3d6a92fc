// SPDX-License-Identifier: Apache-2.0
#include "usage_command.h"

#include <algorithm>
#include <cctype>
#include <ostream>
#include <string>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "collector_client.h"
#include "table.h"
#include "text.h"
#include "usage.h"

namespace weft::cli {
namespace {

constexpr std::string_view kHelp =
    R"(Usage: weft usage [--by KEY] [--trace TRACE_ID | --project P] [--limit N]
                  [--count leaves|all] [--json] [--endpoint URL]

Adds up tokens and cost of the newest traces, a line for each value of KEY, the
dearest first.

  --by KEY         trace (default), user, workflow, thread, service, model, or edge:
                   from the service that called to the one that did the work
  --trace ID       only of this trace
  --project P      only of this project
  --limit N        of at most so many traces (default 100)
  --count RUNS     leaves (default): runs below which no other has any, because
                   their callers often repeat theirs; all: every run
  --json           a JSON object per line
  --endpoint URL   the collector (default: WEFT_ENDPOINT, else http://127.0.0.1:1984)

Who the user is says the metadata `user_id` of a run or of one that called it;
`workflow` and `thread_id` are read in the same way, the model from `ls_model_name`.
)";

struct Request {
  std::string by = "trace";
  std::string count = "leaves";
  std::string trace;
  std::string project;
  std::string endpoint;
  std::size_t limit = 100;
  bool json = false;
};

/// The traces, one after the other: `add` gets the runs of each.
template <typename AddTrace>
absl::Status ReadTraces(const Request& request, const AddTrace& add) {
  const CollectorClient client(request.endpoint);
  std::vector<std::string> ids;
  if (!request.trace.empty()) {
    ids.push_back(request.trace);
  } else {
    const auto roots = client.Roots(request.project, request.limit);
    if (!roots.ok()) return roots.status();
    for (const StoredRun& root : *roots) ids.push_back(root.view.trace_id);
  }
  for (const std::string& id : ids) {
    const auto runs = client.Trace(id);
    if (!runs.ok()) return runs.status();
    // A trace of the list may have left the collector meanwhile.
    if (runs->empty() && !request.trace.empty()) {
      return absl::NotFoundError("no trace " + id + " at " + request.endpoint);
    }
    std::vector<RunView> views;
    for (const StoredRun& run : *runs) views.push_back(run.view);
    add(views);
  }
  return absl::OkStatus();
}

std::string Count(const std::optional<std::int64_t>& count) {
  return count ? FormatCount(*count) : "";
}

Table::Row MakeRow(const std::string& name, const Usage& usage) {
  return {.cells = {{name, {}},
                    {FormatCount(static_cast<std::int64_t>(usage.runs)), {}},
                    {Count(usage.input_tokens), {}},
                    {Count(usage.output_tokens), {}},
                    {usage.cost ? FormatCost(*usage.cost) : "", {}}}};
}

void PrintTable(const std::string& by, const std::vector<UsageGroup>& groups, const Style& style,
                std::ostream& out) {
  std::string title = by;
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  Table table({{.title = title},
               {.title = "RUNS", .right = true, .drop = 1, .colour = Colour::kDim},
               {.title = "INPUT", .right = true},
               {.title = "OUTPUT", .right = true},
               {.title = "COST", .right = true}});
  Usage total;
  for (const UsageGroup& group : groups) {
    table.Add(MakeRow(group.key.empty() ? "(none)" : EscapeControls(group.key), group.usage));
    total.Add(group.usage);
  }
  if (groups.size() > 1) table.Add(MakeRow("(total)", total));
  table.Print(style, out);
}

void PrintLines(const std::string& by, const std::vector<UsageGroup>& groups, const Style& style,
                std::ostream& out) {
  for (const auto& [key, usage] : groups) {
    boost::json::object line{{by, key}, {"runs", usage.runs}};
    if (usage.input_tokens) line["input_tokens"] = *usage.input_tokens;
    if (usage.output_tokens) line["output_tokens"] = *usage.output_tokens;
    if (usage.cost) line["total_cost"] = *usage.cost;
    const std::string text = boost::json::serialize(line);
    out << (style.terminal ? EscapeJsonForTerminal(text) : text) << "\n";
  }
}

absl::Status Check(Request& request) {
  absl::StatusOr<std::string> endpoint = ChooseEndpoint(request.endpoint);
  if (!endpoint.ok()) return endpoint.status();
  request.endpoint = *std::move(endpoint);
  if (request.trace.empty()) return absl::OkStatus();
  if (!request.project.empty()) {
    return absl::InvalidArgumentError("--trace and --project do not go together");
  }
  absl::StatusOr<std::string> id = ParseTraceId(request.trace);
  if (!id.ok()) return id.status();
  request.trace = *std::move(id);
  return absl::OkStatus();
}

}  // namespace

int UsageCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  Request request;
  absl::Status status = Options()
                            .Value("--by", &request.by)
                            .Value("--count", &request.count)
                            .Value("--trace", &request.trace)
                            .Value("--project", &request.project)
                            .Value("--endpoint", &request.endpoint)
                            .Count("--limit", &request.limit)
                            .Flag("--json", &request.json)
                            .Parse(args);
  if (status.ok()) status = Check(request);
  if (!status.ok()) return WrongUse("usage", status, err);
  const auto key = ParseUsageKey(request.by);
  if (!key.ok()) return WrongUse("usage", key.status(), err);
  const auto counted = ParseCountedRuns(request.count);
  if (!counted.ok()) return WrongUse("usage", counted.status(), err);

  UsageSums sums(*key, *counted);
  status = ReadTraces(request, [&sums](const std::vector<RunView>& trace) { sums.Add(trace); });
  if (!status.ok()) {
    err << "weft usage: " << status.message() << "\n";
    return kFailed;
  }
  const std::vector<UsageGroup> groups = sums.Groups();
  if (request.json) {
    PrintLines(request.by, groups, style, out);
  } else if (groups.empty()) {
    err << "weft usage: no run says what it used\n";
  } else {
    PrintTable(request.by, groups, style, out);
  }
  return kDone;
}

}  // namespace weft::cli
