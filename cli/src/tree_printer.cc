// SPDX-License-Identifier: Apache-2.0
#include "tree_printer.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "run_forest.h"
#include "table.h"
#include "text.h"
#include "usage.h"

namespace weft::cli {
namespace {

/// Deeper levels are shown at this one; a chain of thousands would otherwise be all indentation.
constexpr std::size_t kMaxLevels = 40;

struct Branches {
  std::string_view middle, last, through, blank;
};
constexpr Branches kUnicode{"├─ ", "└─ ", "│  ", "   "};
constexpr Branches kAscii{"|- ", "`- ", "|  ", "   "};

/// A run and what stands before it.
struct Line {
  std::size_t run;
  std::string branch;  ///< Before its name.
  std::string below;   ///< Before what stands below it.
};

/// Depth first, without recursion: the depth is the sender's choice. Runs on a cycle of parents are
/// in no tree and come at the end.
std::vector<Line> Walk(const RunForest& forest, const Branches& branches) {
  std::vector<Line> lines;
  std::vector<bool> seen(forest.children.size());
  std::vector<Line> open;
  const auto push_children = [&](const Line& parent, const std::vector<std::size_t>& children) {
    const bool deep = parent.below.size() >= kMaxLevels * branches.blank.size();
    for (std::size_t i = children.size(); i-- > 0;) {
      if (seen[children[i]]) continue;
      const bool last = i + 1 == children.size();
      open.push_back({children[i],
                      parent.below + std::string(last ? branches.last : branches.middle),
                      deep ? parent.below
                           : parent.below + std::string(last ? branches.blank : branches.through)});
    }
  };
  const auto walk_from = [&](std::size_t root) {
    if (seen[root]) return;
    open.push_back({root, "", ""});
    while (!open.empty()) {
      const Line line = std::move(open.back());
      open.pop_back();
      if (seen[line.run]) continue;
      seen[line.run] = true;
      lines.push_back(line);
      push_children(line, forest.children[line.run]);
    }
  };
  for (const std::size_t root : forest.roots) walk_from(root);
  for (std::size_t i = 0; i < seen.size(); ++i) walk_from(i);
  return lines;
}

/// On a terminal the package of a method only takes room.
std::string Name(const RunView& run, const Style& style) {
  if (run.name.empty()) return "(no name)";
  const std::size_t package = run.rpc_service.rfind('.');
  if (style.terminal && run.IsRpc() && package != std::string::npos &&
      run.name == run.rpc_service + "/" + run.rpc_method) {
    return EscapeControls(run.name.substr(package + 1));
  }
  return EscapeControls(run.name);
}

std::string Kind(const RunView& run) {
  if (run.IsServer()) return "server " + (run.server_api.empty() ? run.rpc_kind : run.server_api);
  if (run.IsClient()) return "client " + run.rpc_kind;
  return run.run_type;
}

std::string Tokens(const std::optional<std::int64_t>& in, const std::optional<std::int64_t>& out) {
  if (!in && !out) return {};
  return FormatCount(in.value_or(0)) + " > " + FormatCount(out.value_or(0));
}

Colour StatusColour(std::string_view status) {
  if (status == "error") return Colour::kRed;
  return status == "pending" ? Colour::kYellow : Colour::kGreen;
}

/// What is to be said below a run; empty: nothing.
std::string Note(const RunView& run) {
  std::string note = run.error.substr(0, run.error.find('\n'));
  if (run.lost_method.empty()) return note;
  if (!note.empty()) note += "; ";
  note += "lost its parent while " + run.lost_method + " was handled";
  if (!run.lost_source.empty()) note += ", at " + run.lost_source;
  return note;
}

Table::Row MakeRow(const RunView& run, const Line& line, std::optional<std::int64_t> origin_us,
                   const Style& style) {
  Table::Row row;
  const auto duration = run.DurationUs();
  row.cells = {
      {line.branch + Name(run, style), {}},
      {EscapeControls(Kind(run)), {}},
      {EscapeControls(run.service), {}},
      {run.start_us && origin_us ? FormatDuration(*run.start_us - *origin_us) : "", {}},
      {duration ? FormatDuration(*duration) : "", {}},
      {Tokens(run.input_tokens, run.output_tokens), {}},
      {run.cost ? FormatCost(*run.cost) : "", {}},
      {EscapeControls(run.status), StatusColour(run.status)},
  };
  row.note = EscapeControls(Note(run));
  if (!row.note.empty()) row.note_indent = line.below;
  return row;
}

struct Sums {
  Usage usage;
  std::size_t errors = 0, pending = 0;
  std::set<std::pair<std::string_view, std::string_view>> processes;
  std::optional<std::int64_t> first_us, last_us;
};

Sums Sum(std::span<const RunView> runs, CountedRuns counted) {
  Sums sums;
  sums.usage = AddUp(runs, counted);
  for (const RunView& run : runs) {
    sums.errors += run.status == "error";
    sums.pending += run.status == "pending";
    if (!run.process_id.empty()) sums.processes.emplace(run.service, run.process_id);
    if (run.start_us)
      sums.first_us = std::min(sums.first_us.value_or(*run.start_us), *run.start_us);
    if (run.end_us) sums.last_us = std::max(sums.last_us.value_or(*run.end_us), *run.end_us);
  }
  return sums;
}

std::string Number(std::size_t count, const char* one, const char* many) {
  return FormatCount(static_cast<std::int64_t>(count)) + " " + (count == 1 ? one : many);
}

void PrintSums(std::span<const RunView> runs, const Sums& sums, const Style& style,
               std::ostream& out) {
  const RunView& root = runs.front();
  out << "trace " << Paint(style, Colour::kBold, EscapeControls(root.trace_id));
  if (!root.project.empty()) out << "  project " << EscapeControls(root.project);
  out << "\n" << Number(runs.size(), "run", "runs");
  if (!sums.processes.empty()) out << ", " << Number(sums.processes.size(), "process", "processes");
  if (sums.first_us && sums.last_us) out << ", " << FormatDuration(*sums.last_us - *sums.first_us);
  const Usage& usage = sums.usage;
  if (usage.input_tokens || usage.output_tokens) {
    out << ", tokens " << FormatCount(usage.input_tokens.value_or(0)) << " in "
        << FormatCount(usage.output_tokens.value_or(0)) << " out";
  }
  if (usage.cost) out << ", cost " << FormatCost(*usage.cost);
  if (sums.errors > 0)
    out << ", " << Paint(style, Colour::kRed, Number(sums.errors, "error", "errors"));
  if (sums.pending > 0)
    out << ", " << FormatCount(static_cast<std::int64_t>(sums.pending)) << " pending";
  out << "\n\n";
}

}  // namespace

void PrintTree(std::span<const RunView> runs, const Style& style, std::ostream& out,
               CountedRuns counted) {
  if (runs.empty()) return;
  const RunForest forest = Grow(runs);
  const Sums sums = Sum(runs, counted);
  PrintSums(runs, sums, style, out);
  Table table({{.title = "RUN"},
               {.title = "KIND", .drop = 2, .colour = Colour::kCyan},
               {.title = "SERVICE", .drop = 4},
               {.title = "START", .right = true, .drop = 3, .colour = Colour::kDim},
               {.title = "TIME", .right = true},
               {.title = "TOKENS", .right = true, .drop = 1},
               {.title = "COST", .right = true, .drop = 1},
               {.title = "STATUS"}});
  for (const Line& line : Walk(forest, style.unicode ? kUnicode : kAscii)) {
    table.Add(MakeRow(runs[line.run], line, sums.first_us, style));
  }
  table.Print(style, out);
}

}  // namespace weft::cli
