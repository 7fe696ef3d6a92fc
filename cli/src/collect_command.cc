// SPDX-License-Identifier: Apache-2.0
#include "collect_command.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>

#include <grpc/support/log.h>
#include <boost/json.hpp>

#include <weft/collector/collector.h>
#include <weft/collector/config.h>
#include <weft/collector/process.h>
#include <weft/collector/process_log.h>

namespace weft::cli {
namespace {

using collector::Collector;
using collector::CollectorConfig;
using collector::LogLevel;
using collector::LogLine;

constexpr int kStopped = 0;
constexpr int kFailed = 1;
constexpr int kWrongUse = 2;
constexpr int kWrongConfiguration = 78;
// What Stop promises, and a little: a process that hangs would keep its data directory locked.
constexpr std::chrono::seconds kStopLimit{15};

constexpr std::string_view kHelpHead =
    R"(Usage: weft collect [OPTION...]

Runs the collector: receives runs, writes them to disk before it acknowledges
them, shows them by LangSmith's API, and forwards them.

Options (each may stand as --option=value, too):
)";

constexpr std::string_view kHelpTail = R"(
A flag wins over its variable, a variable over the file, the file over the
default. The file knows more settings: docs/configuration.md.

ADDR is HOST:PORT; port 0 means any free port. An address that other machines
can reach is refused without TLS and keys, which stand in the file, unless
--allow-insecure-listen is given.

SPEC says where runs are forwarded to, from the oldest run in the log on:
  langsmith=URL   LangSmith or what speaks its API, with the key that the
                  caller of the collector gave, else with LANGSMITH_API_KEY
  otlp=grpc://HOST:PORT, otlp=http://HOST:PORT
                  a receiver of OpenTelemetry's spans; grpcs and https with TLS
  file=PATH       JSON lines, one for each operation (docs/collector.md)

The ready file holds {"pid": ..., "grpc": "HOST:PORT", "otlp_http": "HOST:PORT",
"http": "HOST:PORT"}. The first line on stderr has the same addresses.

SIGTERM and SIGINT stop the collector within 15 s, and the time of --drain; a
second one ends it at once. SIGHUP reads the configuration again: keys, tenants,
redaction, certificates, allowed hosts and keys of destinations are taken over
and files of destinations are opened anew, all or, when something is wrong,
nothing.

Exit status: 0 stopped by a signal, 1 cannot run (port or data directory in
use ...), 2 wrong use, 78 wrong configuration.
)";

int ExitCodeOf(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return kWrongUse;
  return absl::IsFailedPrecondition(status) ? kWrongConfiguration : kFailed;
}

void PrintError(const absl::Status& status) {
  std::cerr << "weft collect: " << std::string(status.message()) << "\n";
}

void LogGrpc(gpr_log_func_args* args) {
  const LogLevel level =
      args->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kInfo;
  LogLine(level, "grpc", {{"text", args->message}});
}

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

int NextSignal() {
  const sigset_t set = HandledSignals();
  int signal = 0;
  while (::sigwait(&set, &signal) != 0) {
  }
  return signal;
}

absl::Status WriteReadyFile(const std::filesystem::path& path,
                            const collector::CollectorAddresses& addresses) {
  const boost::json::object ready = {{"pid", ::getpid()},
                                     {"grpc", addresses.grpc},
                                     {"otlp_http", addresses.otlp_http},
                                     {"http", addresses.http}};
  std::filesystem::path fresh = path;
  fresh += ".new";
  std::error_code error;
  {
    std::ofstream out(fresh, std::ios::trunc);
    out << boost::json::serialize(ready) << "\n";
    if (!out.flush()) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(fresh, path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError("--ready-file: cannot write " + path.string() + ": " +
                                error.message());
}

auto LimitsOf(const CollectorConfig& config) {
  return std::tuple(config.ack, config.min_free, config.retention_size, config.retention_age,
                    config.segment_size, config.max_parked_bytes, config.max_wire_bytes,
                    config.max_decoded_bytes, config.max_grpc_message_bytes,
                    config.max_inflight_bytes, config.max_connections, config.header_timeout,
                    config.idle_timeout);
}

// Settings that Reload does not take over.
bool NeedsRestart(const CollectorConfig& a, const CollectorConfig& b) {
  const auto same_forward = [](const auto& x, const auto& y) { return x.Spec() == y.Spec(); };
  return a.data != b.data || a.listen_grpc != b.listen_grpc || a.listen_http != b.listen_http ||
         a.listen_otlp_http != b.listen_otlp_http || LimitsOf(a) != LimitsOf(b) ||
         !std::equal(a.forward.begin(), a.forward.end(), b.forward.begin(), b.forward.end(),
                     same_forward);
}

absl::Status Reload(std::span<const std::string_view> args, const CollectorConfig& running,
                    Collector& collector) {
  const absl::StatusOr<CollectorConfig> config =
      collector::LoadConfig(args, collector::ProcessEnvironment());
  absl::Status status = collector.Reload(config);
  if (!status.ok()) {
    LogLine(LogLevel::kError, "not reloaded, everything is as it was",
            {{"reason", std::string(status.message())}});
    return status;
  }
  LogLine(LogLevel::kInfo, "reloaded");
  if (NeedsRestart(running, *config)) {
    LogLine(LogLevel::kWarning,
            "data, listen, forward, log and limits settings change with a restart only");
  }
  return status;
}

// A second signal, or a stop that takes too long, ends the process as it is: what was acknowledged
// is on disk.
void EndAtNextSignal(std::chrono::seconds limit) {
  std::thread([] {
    int signal = SIGHUP;
    while (signal == SIGHUP) signal = NextSignal();
    ::_exit(kFailed);
  }).detach();
  std::thread([limit] {
    std::this_thread::sleep_for(limit);
    LogLine(LogLevel::kError, "stopping took too long, ended without");
    ::_exit(kFailed);
  }).detach();
}

int Serve(std::span<const std::string_view> args, const CollectorConfig& config) {
  collector::HeldLogLines held;  // who starts the collector reads the addresses in the first line
  absl::StatusOr<std::unique_ptr<Collector>> collector = Collector::Start(config);
  if (!collector.ok()) {
    PrintError(collector.status());
    return kFailed;
  }
  const collector::CollectorAddresses& addresses = (*collector)->addresses();
  if (!config.ready_file.empty()) {
    if (absl::Status status = WriteReadyFile(config.ready_file, addresses); !status.ok()) {
      PrintError(status);
      return kFailed;
    }
  }
  held.ReleaseAfter(LogLevel::kInfo, "listening",
                    {{"grpc", addresses.grpc},
                     {"otlp_http", addresses.otlp_http},
                     {"http", addresses.http},
                     {"data", config.data.string()}});
  if (config.allow_insecure_listen) {
    LogLine(LogLevel::kWarning, "other machines may be let in without TLS",
            {{"option", "--allow-insecure-listen"}});
  }
  int signal = SIGHUP;
  std::mutex reloading;
  const auto reload = [&] {
    std::lock_guard lock(reloading);
    return Reload(args, config, **collector);
  };
  (*collector)->OnReloadRequest(reload);
  while ((signal = NextSignal()) == SIGHUP) reload().IgnoreError();
  LogLine(LogLevel::kInfo, "stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
  EndAtNextSignal(kStopLimit + config.drain);
  (*collector)->Stop();
  if (!config.ready_file.empty()) {
    std::error_code ignored;
    std::filesystem::remove(config.ready_file, ignored);
  }
  LogLine(LogLevel::kInfo, "stopped");
  return kStopped;
}

}  // namespace

int CollectCommand(std::span<const std::string_view> args) {
  for (const std::string_view arg : args) {
    if (arg != "--help" && arg != "-h") continue;
    std::cout << kHelpHead << collector::ConfigHelp() << kHelpTail;
    return kStopped;
  }
  // Before any thread starts, so that all of them inherit it.
  const sigset_t signals = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  gpr_set_log_function(LogGrpc);
  collector::PrepareProcess();
  const collector::ConfigReport report =
      collector::ExamineConfig(args, collector::ProcessEnvironment());
  for (const absl::Status& problem : report.problems) PrintError(problem);
  if (!report.problems.empty()) {
    const int code = ExitCodeOf(report.problems.front());
    if (code == kWrongUse) std::cerr << "'weft collect --help' lists the options.\n";
    return code;
  }
  collector::SetLogFormat(report.config.log_format);
  return Serve(args, report.config);
}

}  // namespace weft::cli
