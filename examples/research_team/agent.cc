// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <string_view>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

namespace research_team {
namespace {

constexpr std::chrono::seconds kShutdownGrace{2};

std::string Usage(const AgentFlags& flags) {
  std::string usage = "Usage: research_team_" + flags.name;
  for (const std::string& peer : flags.peers) usage += " --" + peer + " ADDRESS";
  if (flags.docs) usage += " --docs FOLDER";
  for (const std::string& peer : flags.optional_peers) usage += " [--" + peer + " ADDRESS]";
  return usage + " [--listen ADDRESS] [--ready-file PATH]\n";
}

[[noreturn]] void WrongUse(const AgentFlags& flags, const std::string& text) {
  std::cerr << flags.name << ": " << text << "\n" << Usage(flags);
  std::exit(2);
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

void ReadFlag(const AgentFlags& flags, std::string_view flag, const std::string& value,
              AgentOptions& options) {
  const std::string name(flag.substr(std::min<std::size_t>(2, flag.size())));
  if (flag == "--listen") {
    options.listen = value;
  } else if (flag == "--ready-file") {
    options.ready_file = value;
  } else if (flag == "--docs" && flags.docs) {
    options.docs = value;
  } else if (flag.starts_with("--") &&
             (Contains(flags.peers, name) || Contains(flags.optional_peers, name))) {
    options.peers[name] = value;
  } else {
    WrongUse(flags, "unknown option " + std::string(flag));
  }
}

/// Whoever waits for the file never sees half of it.
bool WriteReadyFile(const std::filesystem::path& path, const std::string& address) {
  const std::filesystem::path draft = path.string() + ".draft";
  std::ofstream(draft) << R"({"pid": )" << getpid() << R"(, "grpc": ")" << address << "\"}\n";
  std::error_code error;
  std::filesystem::rename(draft, path, error);
  return !error;
}

// Says where the agent listens and waits for the signal to end. Returns the exit status.
int AnnounceAndWait(const AgentOptions& options, int port) {
  const std::string address =
      options.listen.substr(0, options.listen.rfind(':')) + ":" + std::to_string(port);
  std::cerr << options.name << ": listening on " << address << "\n";
  if (!options.ready_file.empty() && !WriteReadyFile(options.ready_file, address)) {
    return Fail(options,
                absl::UnavailableError("cannot write --ready-file " + options.ready_file.string()));
  }
  const sigset_t signals = EndSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

}  // namespace

AgentOptions ReadFlags(int argc, char** argv, const AgentFlags& flags) {
  AgentOptions options;
  options.name = flags.name;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--help") {
      std::cout << Usage(flags);
      std::exit(0);
    }
    if (i + 1 == argc) WrongUse(flags, std::string(flag) + " needs a value");
    ReadFlag(flags, flag, argv[++i], options);
  }
  for (const std::string& peer : flags.peers) {
    if (!options.peers.contains(peer)) WrongUse(flags, "--" + peer + " is missing");
  }
  if (flags.docs && options.docs.empty()) WrongUse(flags, "--docs is missing");
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return options;
}

int Serve(grpc::ServerBuilder& builder, const AgentOptions& options, const AgentHooks& hooks) {
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return Fail(options, absl::UnavailableError("cannot listen on " + options.listen));
  }
  if (hooks.started) hooks.started();
  const int status = AnnounceAndWait(options, port);
  server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  if (hooks.stopped) hooks.stopped();
  server->Wait();
  return status;
}

int Serve(weft::FiberServer& server, grpc::ServerBuilder& builder, const AgentOptions& options) {
  int port = 0;
  builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port);
  if (!server.Start(builder).ok() || port == 0) {
    return Fail(options, absl::UnavailableError("cannot listen on " + options.listen));
  }
  const int status = AnnounceAndWait(options, port);
  server.Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  return status;
}

int Fail(const AgentOptions& options, const absl::Status& status) {
  std::cerr << options.name << ": " << status.message() << "\n";
  return 1;
}

}  // namespace research_team
