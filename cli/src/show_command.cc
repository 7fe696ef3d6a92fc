// SPDX-License-Identifier: Apache-2.0
#include "show_command.h"

#include <ostream>
#include <string>
#include <vector>

#include "collector_client.h"
#include "text.h"
#include "tree_printer.h"
#include "usage.h"

namespace weft::cli {
namespace {

constexpr std::string_view kShowHelp =
    R"(Usage: weft show TRACE_ID [--count leaves|all] [--json] [--endpoint URL]

Shows the runs of a trace as a tree with times, status, tokens (read > written) and cost.

  --count RUNS    whose tokens and cost the sums have: `leaves` (default), the runs
                  below which no other has any, or `all`
  --json          the runs, one JSON object per line, parents first
  --endpoint URL  the collector (default: WEFT_ENDPOINT, else http://127.0.0.1:1984)
)";

constexpr std::string_view kExportHelp =
    R"(Usage: weft export TRACE_ID [--endpoint URL]

Writes every run of a trace as JSON lines, in the shape that LangSmith's API reads, parents first.

  --endpoint URL  the collector (default: WEFT_ENDPOINT, else http://127.0.0.1:1984)
)";

struct Request {
  std::string endpoint;
  std::string trace_id;
};

absl::StatusOr<Request> ReadRequest(Args args, Options options) {
  std::string endpoint;
  std::string trace;
  options.Value("--endpoint", &endpoint).Positional("TRACE_ID", &trace);
  if (const absl::Status parsed = options.Parse(args); !parsed.ok()) return parsed;
  absl::StatusOr<std::string> chosen = ChooseEndpoint(endpoint);
  if (!chosen.ok()) return chosen.status();
  absl::StatusOr<std::string> id = ParseTraceId(trace);
  if (!id.ok()) return id.status();
  return Request{*std::move(chosen), *std::move(id)};
}

/// The runs of a trace; NotFound for an unknown one.
absl::StatusOr<std::vector<StoredRun>> ReadTrace(const Request& request) {
  absl::StatusOr<std::vector<StoredRun>> runs =
      CollectorClient(request.endpoint).Trace(request.trace_id);
  if (runs.ok() && runs->empty()) {
    return absl::NotFoundError("no trace " + request.trace_id + " at " + request.endpoint);
  }
  return runs;
}

void PrintLines(const std::vector<StoredRun>& runs, const Style& style, std::ostream& out) {
  for (const StoredRun& run : runs) {
    out << (style.terminal ? EscapeJsonForTerminal(run.json) : run.json) << "\n";
  }
}

int Failed(std::string_view command, const absl::Status& status, std::ostream& err) {
  err << "weft " << command << ": " << status.message() << "\n";
  return kFailed;
}

}  // namespace

int ShowCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kShowHelp;
    return kDone;
  }
  bool json = false;
  std::string count = "leaves";
  const absl::StatusOr<Request> request =
      ReadRequest(args, Options().Flag("--json", &json).Value("--count", &count));
  if (!request.ok()) return WrongUse("show", request.status(), err);
  const absl::StatusOr<CountedRuns> counted = ParseCountedRuns(count);
  if (!counted.ok()) return WrongUse("show", counted.status(), err);
  const absl::StatusOr<std::vector<StoredRun>> runs = ReadTrace(*request);
  if (!runs.ok()) return Failed("show", runs.status(), err);
  if (json) {
    PrintLines(*runs, style, out);
    return kDone;
  }
  std::vector<RunView> views;
  for (const StoredRun& run : *runs) views.push_back(run.view);
  PrintTree(views, style, out, *counted);
  return kDone;
}

int ExportCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kExportHelp;
    return kDone;
  }
  const absl::StatusOr<Request> request = ReadRequest(args, Options());
  if (!request.ok()) return WrongUse("export", request.status(), err);
  const absl::StatusOr<std::vector<StoredRun>> runs = ReadTrace(*request);
  if (!runs.ok()) return Failed("export", runs.status(), err);
  PrintLines(*runs, style, out);
  return kDone;
}

}  // namespace weft::cli
