// SPDX-License-Identifier: Apache-2.0
#include "exec_command.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/run.h>
#include <weft/tracing/trace_headers.h>
#include <weft/tracing/tracer.h>
#include <weft/tracing/tracing_context.h>

#include "text.h"

namespace weft::cli {
namespace {

constexpr std::string_view kHelp = R"(Usage: weft exec [OPTION...] -- COMMAND [ARGUMENT...]

Runs a program as a run of the trace that the environment names, or of a new one. The run begins and
ends with the program; its inputs are the command, its outputs the exit code. An exit code other
than 0 makes it a failed one, and is the exit code of weft exec, too.

  --name NAME      the run's name (default: the command's file name)
  --type TYPE      chain (default), llm, tool, retriever, embedding, prompt or parser
  --project NAME   the project of a new trace
  --tag TAGS       tags of the run, separated by commas

The program finds the run in LANGSMITH_TRACE, BAGGAGE, TRACEPARENT and TRACESTATE, under which weft
exec and weft::TraceHeaders::FromEnvironment() look for a parent. In Python:
  RunTree.from_headers({"langsmith-trace": os.environ["LANGSMITH_TRACE"],
                        "baggage": os.environ.get("BAGGAGE", "")})

Runs go where the environment says: see WEFT_COLLECTOR and the LANGSMITH_ variables in
docs/environment.md. LANGSMITH_TRACING counts as true here unless it is set, for the program as well;
with LANGSMITH_TRACING=false it is only run. What cannot be delivered is said on stderr; the program
does not notice.
)";

constexpr std::array kTypes = {RunType::kChain,     RunType::kLlm,       RunType::kTool,
                               RunType::kRetriever, RunType::kEmbedding, RunType::kPrompt,
                               RunType::kParser};
constexpr int kNotFound = 127;
constexpr int kNotExecutable = 126;
constexpr std::chrono::seconds kDeliveryTimeout{5};

struct Request {
  std::string name;
  RunType type = RunType::kChain;
  std::optional<std::string> project;
  std::vector<std::string> tags;
  std::vector<std::string> command;
};

std::optional<RunType> TypeNamed(std::string_view name) {
  const auto found =
      std::ranges::find_if(kTypes, [&](RunType type) { return RunTypeName(type) == name; });
  return found == kTypes.end() ? std::nullopt : std::optional(*found);
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t to = std::min(text.find(',', from), text.size());
    if (to > from) parts.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return parts;
}

absl::StatusOr<Request> Read(Args args) {
  const auto dashes = std::ranges::find(args, "--");
  Request request;
  std::string type = "chain";
  std::string project;
  std::string tags;
  const absl::Status parsed =
      Options()
          .Value("--name", &request.name)
          .Value("--type", &type)
          .Value("--project", &project)
          .Value("--tag", &tags)
          .Parse(args.first(static_cast<std::size_t>(dashes - args.begin())));
  if (!parsed.ok()) return parsed;
  if (dashes == args.end() || dashes + 1 == args.end()) {
    return absl::InvalidArgumentError("needs -- and a command after it");
  }
  request.command.assign(dashes + 1, args.end());
  const std::optional<RunType> known = TypeNamed(type);
  if (!known)
    return absl::InvalidArgumentError("--type: unknown type '" + EscapeControls(type) + "'");
  request.type = *known;
  if (!project.empty()) request.project = project;
  request.tags = Split(tags);
  if (request.name.empty()) {
    const std::string& path = request.command.front();
    request.name = path.substr(path.rfind('/') + 1);
  }
  return request;
}

/// The signals that somebody may send to the program, or that are about it, while they wait in line
/// here and in all threads that start now.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&held_);
    for (const int signal :
         {SIGCHLD, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH}) {
      sigaddset(&held_, signal);
    }
    pthread_sigmask(SIG_BLOCK, &held_, &before_);
  }
  ~HeldSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;

  const sigset_t& before() const { return before_; }

  /// Waits for the end of `pid`, and passes on what comes for it meanwhile. Returns its status as
  /// of waitpid.
  int WaitFor(pid_t pid) const {
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) != pid) {
      siginfo_t info{};
      const int signal = sigwaitinfo(&held_, &info);
      // What the terminal sends (SI_KERNEL) the program gets itself.
      if (signal > 0 && signal != SIGCHLD && info.si_code != SI_KERNEL) kill(pid, signal);
    }
    return status;
  }

 private:
  sigset_t held_;
  sigset_t before_;
};

std::vector<std::string> EnvironmentWith(const TraceHeaders& headers) {
  const auto variables = headers.Variables();
  std::vector<std::string> environment;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view entry = *at;
    const std::string_view name = entry.substr(0, entry.find('='));
    if (std::ranges::none_of(variables, [&](const auto& each) { return each.first == name; })) {
      environment.emplace_back(entry);
    }
  }
  for (const auto& [name, value] : variables) {
    if (!value.empty()) environment.push_back(std::string(name).append("=").append(value));
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Starts the command with the signal mask from before; an errno, or 0.
int Start(std::vector<std::string> command, std::vector<std::string> environment,
          const sigset_t& mask, pid_t* pid) {
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &mask);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);  // gRPC and libcurl may ignore it
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawnp(pid, command[0].c_str(), nullptr, &attributes,
                                 Pointers(command).data(), Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  return error;
}

JsonArray CommandOf(const Request& request) {
  JsonArray command;
  for (const std::string& argument : request.command) command.emplace_back(argument);
  return command;
}

/// Runs the command to its end as `run`; the exit code.
int RunToEnd(const Request& request, const HeldSignals& signals, Run& run, std::ostream& err) {
  pid_t pid = -1;
  const int error =
      Start(request.command, EnvironmentWith(run.ToHeaders()), signals.before(), &pid);
  if (error != 0) {
    const std::string why = EscapeControls(request.command[0]) + ": " + std::strerror(error);
    err << "weft exec: " << why << "\n";
    run.SetError(why);
    return error == ENOENT ? kNotFound : kNotExecutable;
  }
  const int status = signals.WaitFor(pid);
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    run.SetOutputs({{"signal", signal}});
    run.SetError(std::string("ended by signal ") + std::to_string(signal) + " (" +
                 strsignal(signal) + ")");
    return 128 + signal;
  }
  const int code = WEXITSTATUS(status);
  run.SetOutputs({{"exit_code", code}});
  if (code != 0) run.SetError("exit code " + std::to_string(code));
  return code;
}

bool SaysWhetherToTrace() {
  const auto set = [](const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  return set("LANGSMITH_TRACING") || set("LANGSMITH_TRACING_V2") || set("LANGCHAIN_TRACING") ||
         set("LANGCHAIN_TRACING_V2");
}

void Deliver(Tracer& tracer, std::ostream& err) {
  tracer.Shutdown(kDeliveryTimeout);
  for (const ExporterStats& stats : tracer.Stats().exporters) {
    if (stats.dropped() != 0)
      err << "weft exec: the run was not delivered: no collector answered\n";
  }
}

}  // namespace

int ExecCommand(Args args, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  const absl::StatusOr<Request> request = Read(args);
  if (!request.ok()) return WrongUse("exec", request.status(), err);
  const HeldSignals signals;
  if (!SaysWhetherToTrace()) setenv("LANGSMITH_TRACING", "true", 1);
  const absl::StatusOr<std::shared_ptr<Tracer>> tracer = Tracer::FromEnvironment();
  if (!tracer.ok()) return WrongUse("exec", tracer.status(), err);
  int code = kFailed;
  {
    const TracingContext caller({.parent = TraceHeaders::FromEnvironment().Parse()});
    Run run(request->name, {.run_type = request->type,
                            .inputs = {{"command", CommandOf(*request)}},
                            .tags = request->tags,
                            .project = request->project,
                            .tracer = *tracer});
    code = RunToEnd(*request, signals, run, err);
  }
  Deliver(**tracer, err);
  return code;
}

}  // namespace weft::cli
