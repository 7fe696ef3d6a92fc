// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace weft::cli {

/// A process that this one started and that does not outlive it.
///
/// It leads a process group of its own, so that Ctrl-C reaches it only through its owner; the
/// kernel kills it when the owner dies without a word.
///
/// Lifetime: the destructor stops it. Start it on a thread that lives as long as it should: the
///   kernel takes the end of that thread for the end of the owner.
/// Threads: one at a time.
class ChildProcess {
 public:
  struct Command {
    std::string name;                      ///< For messages.
    std::vector<std::string> arguments;    ///< The program's path first.
    std::vector<std::string> environment;  ///< `NAME=value`, all of it.
    std::filesystem::path output;          ///< File for its stdout.
    std::filesystem::path log;             ///< File for its stderr.
  };

  /// Errors: Internal names the program and why it cannot be run.
  static absl::StatusOr<ChildProcess> Start(Command command);

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  /// The exit status once it has ended: its own, or 128 + the signal that ended it.
  std::optional<int> ExitStatus();

  /// Asks it to end (SIGTERM) without waiting.
  void Terminate();

  /// Waits for its end, and ends it and its group with force after `grace`. Returns its exit
  /// status.
  int Stop(std::chrono::milliseconds grace);

  const Command& command() const { return command_; }

 private:
  ChildProcess(Command command, pid_t pid) : command_(std::move(command)), pid_(pid) {}

  Command command_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

/// This process's environment without the variables that start with one of `prefixes`.
std::vector<std::string> EnvironmentWithout(const std::vector<std::string>& prefixes);

}  // namespace weft::cli
