// SPDX-License-Identifier: Apache-2.0
#include "ls_command.h"

#include <ostream>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "collector_client.h"
#include "table.h"
#include "text.h"

namespace weft::cli {
namespace {

constexpr std::string_view kHelp =
    R"(Usage: weft ls [--project P] [--limit N] [--json] [--endpoint URL]

Lists the traces that a collector keeps, newest first.

  --project P     only of this project
  --limit N       at most so many (default 20)
  --json          the root runs, one JSON object per line
  --endpoint URL  the collector (default: WEFT_ENDPOINT, else http://127.0.0.1:1984)
)";

std::string StartTime(const RunView& run) {
  if (!run.start_us) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixMicros(*run.start_us),
                          absl::LocalTimeZone());
}

void PrintTable(const std::vector<StoredRun>& runs, const Style& style, std::ostream& out) {
  Table table({{.title = "NAME"},
               {.title = "PROJECT", .drop = 3},
               {.title = "START", .drop = 2, .colour = Colour::kDim},
               {.title = "TIME", .right = true, .drop = 1},
               {.title = "STATUS"},
               {.title = "TRACE"}});
  for (const StoredRun& stored : runs) {
    const RunView& run = stored.view;
    const auto duration = run.DurationUs();
    table.Add({.cells = {{EscapeControls(run.name), {}},
                         {EscapeControls(run.project), {}},
                         {StartTime(run), {}},
                         {duration ? FormatDuration(*duration) : "", {}},
                         {EscapeControls(run.status),
                          run.status == "error" ? Colour::kRed : Colour::kGreen},
                         {EscapeControls(run.trace_id), {}}}});
  }
  table.Print(style, out);
}

}  // namespace

int LsCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  std::string project;
  std::string endpoint_flag;
  std::size_t limit = 20;
  bool json = false;
  const absl::Status parsed = Options()
                                  .Value("--project", &project)
                                  .Value("--endpoint", &endpoint_flag)
                                  .Count("--limit", &limit)
                                  .Flag("--json", &json)
                                  .Parse(args);
  if (!parsed.ok()) return WrongUse("ls", parsed, err);
  const absl::StatusOr<std::string> endpoint = ChooseEndpoint(endpoint_flag);
  if (!endpoint.ok()) return WrongUse("ls", endpoint.status(), err);

  const absl::StatusOr<std::vector<StoredRun>> runs =
      CollectorClient(*endpoint).Roots(project, limit);
  if (!runs.ok()) {
    err << "weft ls: " << runs.status().message() << "\n";
    return kFailed;
  }
  if (json) {
    for (const StoredRun& run : *runs) {
      out << (style.terminal ? EscapeJsonForTerminal(run.json) : run.json) << "\n";
    }
  } else if (runs->empty()) {
    err << "weft ls: no traces yet at " << *endpoint << "\n";
  } else {
    PrintTable(*runs, style, out);
  }
  return kDone;
}

}  // namespace weft::cli
