// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/server_builder.h>

#include <weft/async/fiber_server.h>

namespace research_team {

/// What every agent of the team is told on its command line.
struct AgentOptions {
  std::string name;
  std::string listen = "127.0.0.1:0";
  std::filesystem::path docs;
  std::filesystem::path ready_file;
  std::map<std::string, std::string> peers;  ///< Address by name; only those that were given.
};

/// Which flags an agent has besides `--listen` and `--ready-file`.
struct AgentFlags {
  std::string name;
  std::vector<std::string> peers{};           ///< `--NAME ADDRESS`, needed.
  std::vector<std::string> optional_peers{};  ///< `--NAME ADDRESS`.
  bool docs = false;                          ///< `--docs FOLDER`, needed.
};

/// Reads the flags; ends the process with 2 and a message when they are wrong, with 0 after --help.
/// Blocks SIGTERM and SIGINT, for which Serve waits: call it before anything starts a thread.
AgentOptions ReadFlags(int argc, char** argv, const AgentFlags& flags);

/// What an agent does beside its handlers.
struct AgentHooks {
  std::function<void()> started{};  ///< The server takes calls.
  std::function<void()> stopped{};  ///< The server takes no more calls.
};

/// Listens, writes the ready file (`{"pid": ..., "grpc": "ADDRESS"}`) and serves until SIGTERM or
/// SIGINT. Returns the exit status.
int Serve(grpc::ServerBuilder& builder, const AgentOptions& options, const AgentHooks& hooks = {});

/// The same for an agent whose calls are fibers.
int Serve(weft::FiberServer& server, grpc::ServerBuilder& builder, const AgentOptions& options);

/// Says what is wrong; the exit status for it.
int Fail(const AgentOptions& options, const absl::Status& status);

}  // namespace research_team
