// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

namespace weft::cli {

using Args = std::span<const std::string_view>;

/// Exit codes of every command (docs/command-line.md).
enum ExitCode : int { kDone = 0, kFailed = 1, kWrongUse = 2 };

/// Reads a command's arguments: `--name value`, `--name=value`, `--flag` and positional ones.
///
///     std::string project;
///     absl::Status status = Options().Value("--project", &project).Parse(args);
///
/// Lifetime: the targets are written during Parse.
/// Errors: InvalidArgument names the argument.
class Options {
 public:
  Options& Flag(std::string_view name, bool* target);
  Options& Value(std::string_view name, std::string* target);
  Options& Count(std::string_view name, std::size_t* target);
  /// An argument without a name, required, in the order of the calls.
  Options& Positional(std::string_view name, std::string* target);

  absl::Status Parse(Args args) const;

 private:
  struct Option {
    std::string_view name;
    bool* flag = nullptr;
    std::string* value = nullptr;
    std::size_t* count = nullptr;
  };

  const Option* Find(std::string_view name) const;

  std::vector<Option> options_;
  std::vector<Option> positionals_;
};

/// Whether `--help` or `-h` is among the arguments before a `--`.
bool WantsHelp(Args args);

/// Says what is wrong with a command's arguments; the exit code for it.
int WrongUse(std::string_view command, const absl::Status& status, std::ostream& err);

}  // namespace weft::cli
