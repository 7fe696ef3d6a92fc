// SPDX-License-Identifier: Apache-2.0
#include "demo_team.h"

#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include <boost/json/parse.hpp>

namespace weft::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kStartTimeout{30'000};
constexpr milliseconds kAnswerTimeout{120'000};
constexpr milliseconds kStopGrace{5'000};
constexpr milliseconds kPollInterval{5};
constexpr std::string_view kPrefix = "research_team_";
constexpr std::size_t kLogTail = 2'000;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// A string member of a JSON object in text form.
std::optional<std::string> Member(const std::string& json, std::string_view name) {
  boost::json::error_code error;
  const boost::json::value value = boost::json::parse(json, error);
  const auto* object = error ? nullptr : value.if_object();
  const auto* member =
      object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
  if (member == nullptr || !member->is_string()) return std::nullopt;
  return std::string(member->get_string().data(), member->get_string().size());
}

absl::StatusOr<fs::path> FindProgram(const std::string& name) {
  const fs::path here = ProgramFolder();
  for (const fs::path& folder : {here, here.parent_path() / "libexec" / "weft"}) {
    if (access((folder / name).c_str(), X_OK) == 0) return folder / name;
  }
  return absl::NotFoundError("the agents' program " + name + " is neither in " + here.string() +
                             " nor in " + (here.parent_path() / "libexec/weft").string() +
                             "; build the examples (WEFT_BUILD_EXAMPLES)");
}

/// The caller's environment, but nothing of it decides where the demo's runs go.
std::vector<std::string> CleanEnvironment() {
  return EnvironmentWithout({"LANGSMITH_", "LANGCHAIN_", "OTEL_", "WEFT_"});
}

std::vector<std::string> AgentEnvironment(const std::string& name, const std::string& collector) {
  std::vector<std::string> environment = CleanEnvironment();
  environment.push_back("WEFT_COLLECTOR=" + collector);
  environment.emplace_back("LANGSMITH_TRACING=true");
  environment.emplace_back("LANGSMITH_PROJECT=research-team");
  environment.push_back("OTEL_SERVICE_NAME=" + name);
  return environment;
}

}  // namespace

DemoTeam::~DemoTeam() {
  for (ChildProcess& agent : agents_) agent.Terminate();
  agents_.clear();
  collector_.clear();
}

absl::StatusOr<ChildProcess> DemoTeam::StartProcess(const std::string& name,
                                                    std::vector<std::string> arguments,
                                                    std::vector<std::string> environment) const {
  return ChildProcess::Start({.name = name,
                              .arguments = std::move(arguments),
                              .environment = std::move(environment),
                              .output = setup_.scratch / (name + ".out"),
                              .log = setup_.scratch / (name + ".log")});
}

absl::Status DemoTeam::Failure(ChildProcess& process, const std::string& what) const {
  std::string log = ReadFile(process.command().log);
  if (log.size() > kLogTail) log = "..." + log.substr(log.size() - kLogTail);
  return absl::InternalError("the " + process.command().name + " " + what +
                             (log.empty() ? "; its log is empty" : "; its log:\n" + log));
}

absl::StatusOr<std::string> DemoTeam::WaitUntilReady(ChildProcess& process,
                                                     std::string_view field) const {
  const fs::path file = setup_.scratch / (process.command().name + ".ready");
  const auto deadline = steady_clock::now() + kStartTimeout;
  while (steady_clock::now() < deadline) {
    if (const auto address = Member(ReadFile(file), field)) return *address;
    if (const auto status = process.ExitStatus()) {
      return Failure(process, "ended with status " + std::to_string(*status));
    }
    if (setup_.interrupted()) return absl::CancelledError("interrupted");
    std::this_thread::sleep_for(kPollInterval);
  }
  return Failure(process, "is not ready after 30 s");
}

absl::Status DemoTeam::StartCollector() {
  setup_.progress("starting the collector");
  const std::string ready = setup_.scratch / "collector.ready";
  absl::StatusOr<ChildProcess> process =
      StartProcess("collector",
                   {fs::read_symlink("/proc/self/exe"), "collect", "--data", setup_.data,
                    "--listen-grpc", "127.0.0.1:0", "--listen-http", "127.0.0.1:0",
                    "--listen-otlp-http", "127.0.0.1:0", "--ready-file", ready},
                   CleanEnvironment());
  if (!process.ok()) return process.status();
  collector_.push_back(*std::move(process));
  absl::StatusOr<std::string> grpc = WaitUntilReady(collector_.front(), "grpc");
  if (!grpc.ok()) return grpc.status();
  absl::StatusOr<std::string> http = WaitUntilReady(collector_.front(), "http");
  if (!http.ok()) return http.status();
  grpc_address_ = *grpc;
  http_address_ = "http://" + *http;
  return absl::OkStatus();
}

absl::Status DemoTeam::StartAgent(const std::string& name, const std::vector<std::string>& peers) {
  absl::StatusOr<fs::path> program = FindProgram(std::string(kPrefix) + name);
  if (!program.ok()) return program.status();
  std::vector<std::string> arguments{*program, "--listen", "127.0.0.1:0", "--ready-file",
                                     setup_.scratch / (name + ".ready")};
  if (name == "retriever") arguments.insert(arguments.end(), {"--docs", setup_.docs});
  for (const std::string& peer : peers) {
    arguments.insert(arguments.end(), {"--" + peer, addresses_.at(peer)});
  }
  absl::StatusOr<ChildProcess> process =
      StartProcess(name, std::move(arguments), AgentEnvironment(name, grpc_address_));
  if (!process.ok()) return process.status();
  agents_.push_back(*std::move(process));
  absl::StatusOr<std::string> address = WaitUntilReady(agents_.back(), "grpc");
  if (!address.ok()) return address.status();
  addresses_[name] = *address;
  return absl::OkStatus();
}

absl::Status DemoTeam::StartAgents() {
  const std::vector<std::pair<std::string, std::vector<std::string>>> agents = {
      {"retriever", {}},
      {"summariser", {}},
      {"critic", {}},
      {"planner", {"retriever"}},
      {"gateway", {"planner", "retriever", "summariser", "critic"}},
  };
  for (const auto& [name, peers] : agents) {
    setup_.progress("starting the " + name);
    if (absl::Status status = StartAgent(name, peers); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<DemoTeam::Answer> DemoTeam::Ask(const std::string& question) {
  setup_.progress("asking: " + question);
  absl::StatusOr<fs::path> program = FindProgram(std::string(kPrefix) + "ask");
  if (!program.ok()) return program.status();
  absl::StatusOr<ChildProcess> ask =
      StartProcess("client", {*program, "--gateway", addresses_.at("gateway"), "--json", question},
                   AgentEnvironment("client", grpc_address_));
  if (!ask.ok()) return ask.status();
  const auto deadline = steady_clock::now() + kAnswerTimeout;
  while (!ask->ExitStatus()) {
    if (setup_.interrupted()) return absl::CancelledError("interrupted");
    if (steady_clock::now() > deadline) return Failure(*ask, "has no answer after 2 minutes");
    std::this_thread::sleep_for(kPollInterval);
  }
  if (*ask->ExitStatus() != 0) {
    return Failure(*ask, "ended with status " + std::to_string(*ask->ExitStatus()));
  }
  const std::string output = ReadFile(ask->command().output);
  const auto trace_id = Member(output, "trace_id");
  const auto text = Member(output, "answer");
  if (!trace_id || !text) return Failure(*ask, "printed no answer");
  return Answer{*trace_id, *text};
}

absl::Status DemoTeam::StopAgents() {
  for (ChildProcess& agent : agents_) agent.Terminate();
  while (!agents_.empty()) {
    ChildProcess& agent = agents_.back();
    if (const int status = agent.Stop(kStopGrace); status != 0) {
      return Failure(agent, "ended with status " + std::to_string(status));
    }
    agents_.pop_back();
  }
  return absl::OkStatus();
}

absl::Status DemoTeam::CheckCollector() {
  if (collector_.empty()) return absl::FailedPreconditionError("no collector was started");
  const auto status = collector_.front().ExitStatus();
  if (!status) return absl::OkStatus();
  return Failure(collector_.front(), "ended with status " + std::to_string(*status));
}

fs::path ProgramFolder() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

fs::path DefaultDocs() {
  const fs::path here = ProgramFolder();
  for (const fs::path& folder :
       {here.parent_path() / "share" / "doc" / "weft", here / "../../../docs", fs::path("docs")}) {
    std::error_code error;
    if (fs::is_directory(folder, error)) return fs::weakly_canonical(folder, error);
  }
  return {};
}

}  // namespace weft::cli
