// SPDX-License-Identifier: Apache-2.0
#include "demo_command.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "collector_client.h"
#include "demo_team.h"
#include "text.h"
#include "trace_check.h"
#include "tree_printer.h"

namespace weft::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHelp =
    R"(Usage: weft demo [--once] [--data DIR] [--question TEXT] [--docs DIR]

Starts a collector and a team of agents that research a question in a folder of Markdown files,
prints the answer and its trace, and keeps the collector serving until Ctrl-C.

  --once           end when the trace is printed; status 0 only if it is complete
  --data DIR       keep the collector's data here (default: a temporary folder, removed at the end)
  --question TEXT  what to ask
  --docs DIR       what to search (default: weft's own documentation)

With OPENAI_BASE_URL (and OPENAI_API_KEY, OPENAI_MODEL) the summariser asks that model.
)";

constexpr std::string_view kQuestion =
    "How does weft keep the parent of a run right across threads, streams and processes?";

/// Runs are readable at most 5 s after their acknowledgement.
constexpr auto kReadDeadline = std::chrono::seconds(10);
constexpr auto kReadInterval = std::chrono::milliseconds(50);

struct DemoOptions {
  bool once = false;
  std::string data;
  std::string question{kQuestion};
  fs::path docs;
};

/// A folder that goes when this does.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::error_code error;
    std::string pattern = fs::temp_directory_path(error) / "weft-demo-XXXXXX";
    if (!error && mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  return signals;
}

/// Whether a signal asks for the end; stays true.
bool Interrupted() {
  static bool interrupted = false;
  const sigset_t signals = EndSignals();
  const timespec now{};
  if (!interrupted) interrupted = sigtimedwait(&signals, nullptr, &now) > 0;
  return interrupted;
}

absl::Status ReadOptions(Args args, DemoOptions* options) {
  std::string docs;
  absl::Status parsed = Options()
                            .Flag("--once", &options->once)
                            .Value("--data", &options->data)
                            .Value("--question", &options->question)
                            .Value("--docs", &docs)
                            .Parse(args);
  if (!parsed.ok()) return parsed;
  if (options->question.find_first_not_of(" \t\n") == std::string::npos) {
    return absl::InvalidArgumentError("--question is empty");
  }
  options->docs = docs.empty() ? DefaultDocs() : fs::path(docs);
  std::error_code error;
  if (!fs::is_directory(options->docs, error)) {
    return absl::InvalidArgumentError(
        docs.empty() ? "--docs is needed: weft's own documentation is not beside this program"
                     : "--docs " + EscapeControls(docs) + " is no folder");
  }
  return absl::OkStatus();
}

TraceExpectation Expectation() {
  return {.rpc_kinds = {"unary", "client_stream", "server_stream", "bidi_stream"},
          .server_apis = {"sync", "callback", "cq", "fiber"},
          .processes = 4,
          .services = 3};
}

struct Outcome {
  std::vector<RunView> runs;
  TraceProblems problems;
};

/// Reads the trace until nothing is missing, or for as long as that may take.
absl::StatusOr<Outcome> ReadTrace(const std::string& endpoint, const std::string& trace_id) {
  const CollectorClient client(endpoint);
  const auto deadline = std::chrono::steady_clock::now() + kReadDeadline;
  for (;;) {
    absl::StatusOr<std::vector<StoredRun>> stored = client.Trace(trace_id);
    if (!stored.ok()) return stored.status();
    Outcome outcome;
    for (StoredRun& run : *stored) outcome.runs.push_back(std::move(run.view));
    outcome.problems = CheckTrace(outcome.runs, Expectation());
    if (outcome.problems.missing.empty() || std::chrono::steady_clock::now() > deadline ||
        Interrupted()) {
      return outcome;
    }
    std::this_thread::sleep_for(kReadInterval);
  }
}

/// Roots that began since `begin_us` and belong to other traces: a broken link somewhere.
absl::Status CheckOnlyTrace(const std::string& endpoint, const std::string& trace_id,
                            std::int64_t begin_us, std::vector<std::string>* missing) {
  absl::StatusOr<std::vector<StoredRun>> roots = CollectorClient(endpoint).Roots("", 20);
  if (!roots.ok()) return roots.status();
  for (const StoredRun& root : *roots) {
    if (root.view.trace_id != trace_id && root.view.start_us.value_or(0) >= begin_us) {
      missing->push_back("a second trace, " + root.view.trace_id + " (" +
                         EscapeControls(root.view.name) + ")");
    }
  }
  return absl::OkStatus();
}

void PrintAnswer(const std::string& question, const DemoTeam::Answer& answer, const Style& style,
                 std::ostream& out) {
  out << Paint(style, Colour::kBold, EscapeControls(question)) << "\n\n";
  std::string_view rest = answer.text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    out << EscapeControls(rest.substr(0, end)) << "\n";
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  out << "\n";
}

absl::Status ServeUntilInterrupted(DemoTeam& team) {
  const sigset_t signals = EndSignals();
  const timespec interval{.tv_sec = 0, .tv_nsec = 500'000'000};
  while (!Interrupted()) {
    if (absl::Status status = team.CheckCollector(); !status.ok()) return status;
    if (sigtimedwait(&signals, nullptr, &interval) > 0) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<Outcome> AskTheTeam(DemoTeam& team, const DemoOptions& options, const Style& style,
                                   std::ostream& out) {
  const std::int64_t begin_us = absl::ToUnixMicros(absl::Now());
  if (absl::Status status = team.StartCollector(); !status.ok()) return status;
  if (absl::Status status = team.StartAgents(); !status.ok()) return status;
  absl::StatusOr<DemoTeam::Answer> answer = team.Ask(options.question);
  if (!answer.ok()) return answer.status();
  if (absl::Status status = team.StopAgents(); !status.ok()) return status;
  absl::StatusOr<Outcome> outcome = ReadTrace(team.http_address(), answer->trace_id);
  if (!outcome.ok()) return outcome.status();
  absl::Status status =
      CheckOnlyTrace(team.http_address(), answer->trace_id, begin_us, &outcome->problems.missing);
  if (!status.ok()) return status;
  PrintAnswer(options.question, *answer, style, out);
  PrintTree(outcome->runs, style, out);
  out << "\nThe collector " << (options.once ? "served" : "serves") << " this trace at "
      << team.http_address() << "\n";
  if (!options.once) {
    out << "  weft show " << answer->trace_id << " --endpoint " << team.http_address()
        << "\nPress Ctrl-C to end.\n";
  }
  out.flush();
  return outcome;
}

int Run(const DemoOptions& options, const Style& style, std::ostream& out, std::ostream& err) {
  const ScratchFolder scratch;
  if (scratch.path().empty()) {
    err << "weft demo: no temporary folder can be made; TMPDIR names where\n";
    return kFailed;
  }
  DemoTeam team(
      {.data = options.data.empty() ? scratch.path() / "data" : fs::path(options.data),
       .scratch = scratch.path(),
       .docs = options.docs,
       .progress = [&err](std::string_view text) { err << "weft demo: " << text << std::endl; },
       .interrupted = Interrupted});
  const absl::StatusOr<Outcome> outcome = AskTheTeam(team, options, style, out);
  if (!outcome.ok()) {
    err << "weft demo: " << outcome.status().message() << "\n";
    return kFailed;
  }
  const auto& [missing, failed] = outcome->problems;
  for (const std::string& what : missing) {
    err << "weft demo: the trace is not complete: " << what << "\n";
  }
  for (const std::string& what : failed) err << "weft demo: " << what << "\n";
  if (!options.once) {
    if (absl::Status status = ServeUntilInterrupted(team); !status.ok()) {
      err << "weft demo: " << status.message() << "\n";
      return kFailed;
    }
  }
  return missing.empty() && failed.empty() ? kDone : kFailed;
}

}  // namespace

int DemoCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  DemoOptions options;
  if (const absl::Status parsed = ReadOptions(args, &options); !parsed.ok()) {
    return WrongUse("demo", parsed, err);
  }
  const sigset_t signals = EndSignals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return Run(options, style, out, err);
}

}  // namespace weft::cli
