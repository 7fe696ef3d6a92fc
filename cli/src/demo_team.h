// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "child_process.h"

namespace weft::cli {

/// The collector and the agents of examples/research_team as processes of this one.
///
/// Lifetime: the destructor stops them all; Start returns early once `interrupted` says so.
/// Threads: one.
/// Errors: of every call: says which process, and the end of its log.
class DemoTeam {
 public:
  struct Setup {
    std::filesystem::path data;     ///< The collector's directory.
    std::filesystem::path scratch;  ///< Ready files and logs.
    std::filesystem::path docs;     ///< What the retriever searches.
    std::function<void(std::string_view)> progress;
    std::function<bool()> interrupted;
  };
  struct Answer {
    std::string trace_id;
    std::string text;
  };

  explicit DemoTeam(Setup setup) : setup_(std::move(setup)) {}
  DemoTeam(const DemoTeam&) = delete;
  DemoTeam& operator=(const DemoTeam&) = delete;
  ~DemoTeam();

  absl::Status StartCollector();
  absl::Status StartAgents();
  absl::StatusOr<Answer> Ask(const std::string& question);

  /// Ends the agents, so that all their runs are with the collector.
  absl::Status StopAgents();

  /// OK while the collector is alive.
  absl::Status CheckCollector();

  /// `http://127.0.0.1:PORT`.
  const std::string& http_address() const { return http_address_; }

 private:
  absl::Status StartAgent(const std::string& name, const std::vector<std::string>& peers);
  absl::StatusOr<ChildProcess> StartProcess(const std::string& name,
                                            std::vector<std::string> arguments,
                                            std::vector<std::string> environment) const;
  absl::StatusOr<std::string> WaitUntilReady(ChildProcess& process, std::string_view field) const;
  absl::Status Failure(ChildProcess& process, const std::string& what) const;

  Setup setup_;
  std::string grpc_address_;
  std::string http_address_;
  std::deque<ChildProcess> collector_;  // None or one.
  std::deque<ChildProcess> agents_;
  std::map<std::string, std::string> addresses_;
};

/// Folder with this program and, beside it or in ../libexec/weft, the agents' programs.
std::filesystem::path ProgramFolder();

/// This project's documents: those of the source tree or of the installation, else empty.
std::filesystem::path DefaultDocs();

}  // namespace weft::cli
