// SPDX-License-Identifier: Apache-2.0
#include "config_command.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include <weft/collector/config.h>

#include "text.h"

namespace weft::cli {
namespace {

using collector::ConfigReport;

constexpr int kWrongConfiguration = 78;

constexpr std::string_view kHelp =
    R"(Usage: weft config init [--output FILE] [--force]
       weft config validate [--json] FILE
       weft config show [--json] [OPTION of weft collect...]

init writes an example with every setting, its default and what it does; to
stdout, or to FILE, which is replaced with --force only.

validate says everything that is wrong with FILE, a line each: FILE:LINE: KEY:
what. It looks at the environment, too, for keys come from it, and at what the
file names: certificates, files of keys, the data directory.

show prints the settings as `weft collect` with the same options would have
them: KEY, VALUE, and where the value comes from (a flag, a variable, FILE:LINE
or the default). Keys of callers and destinations are never shown.

Exit status: 0 done, 1 cannot write, 2 wrong use, 78 wrong configuration.
)";

int Init(Args args, std::ostream& out, std::ostream& err) {
  std::string path;
  bool force = false;
  absl::Status status = Options().Value("--output", &path).Flag("--force", &force).Parse(args);
  if (!status.ok()) return WrongUse("config", status, err);
  if (path.empty()) {
    out << collector::ConfigExample();
    return kDone;
  }
  std::error_code ignored;
  if (!force && std::filesystem::exists(path, ignored)) {
    err << "weft config: " << path << " is there already; --force replaces it\n";
    return kFailed;
  }
  std::ofstream file(path, std::ios::trunc);
  if (!(file << collector::ConfigExample()).flush()) {
    err << "weft config: cannot write " << path << "\n";
    return kFailed;
  }
  out << "wrote " << path << "\n";
  return kDone;
}

std::vector<std::string> ProblemsOf(const ConfigReport& report) {
  std::vector<std::string> problems;
  for (const absl::Status& status : report.problems) problems.emplace_back(status.message());
  return problems;
}

void PrintProblems(const std::vector<std::string>& problems, std::ostream& err) {
  for (const std::string& problem : problems) {
    err << "weft config: " << EscapeControls(problem) << "\n";
  }
}

int Validate(Args args, std::ostream& out, std::ostream& err) {
  std::string path;
  bool json = false;
  absl::Status status = Options().Flag("--json", &json).Positional("FILE", &path).Parse(args);
  if (!status.ok()) return WrongUse("config", status, err);
  const std::vector<std::string_view> flags = {"--config", path};
  const ConfigReport report = collector::ExamineConfig(flags, collector::ProcessEnvironment());
  std::vector<std::string> problems = ProblemsOf(report);
  for (std::string& problem : collector::CheckSurroundings(report.config)) {
    problems.push_back(path + ": " + std::move(problem));
  }
  if (json) {
    const boost::json::object object = {
        {"file", path},
        {"valid", problems.empty()},
        {"problems", boost::json::array(problems.begin(), problems.end())}};
    out << boost::json::serialize(object) << "\n";
  } else if (problems.empty()) {
    out << path << ": nothing is wrong\n";
  }
  if (!json) PrintProblems(problems, err);
  return problems.empty() ? kDone : kWrongConfiguration;
}

int Show(Args args, std::ostream& out, std::ostream& err) {
  std::vector<std::string_view> flags(args.begin(), args.end());
  const bool json = std::erase(flags, "--json") > 0;
  const ConfigReport report = collector::ExamineConfig(flags, collector::ProcessEnvironment());
  PrintProblems(ProblemsOf(report), err);
  for (const absl::Status& problem : report.problems) {
    if (absl::IsInvalidArgument(problem)) return kWrongUse;
  }
  std::size_t key_width = 0;
  std::size_t value_width = 0;
  for (const collector::ConfigValue& value : report.values) {
    key_width = std::max(key_width, value.key.size());
    value_width = std::max(value_width, std::min<std::size_t>(value.value.size(), 48));
  }
  for (const collector::ConfigValue& value : report.values) {
    if (json) {
      const boost::json::object object = {
          {"key", value.key}, {"value", value.value}, {"source", value.source}};
      out << boost::json::serialize(object) << "\n";
    } else {
      out << PadRight(value.key, key_width + 2)
          << PadRight(EscapeControls(value.value), value_width + 2) << value.source << "\n";
    }
  }
  return report.problems.empty() ? kDone : kWrongConfiguration;
}

}  // namespace

int ConfigCommand(Args args, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  const std::string_view action = args.empty() ? std::string_view() : args.front();
  if (action == "init") return Init(args.subspan(1), out, err);
  if (action == "validate") return Validate(args.subspan(1), out, err);
  if (action == "show") return Show(args.subspan(1), out, err);
  return WrongUse("config",
                  absl::InvalidArgumentError("'" + EscapeControls(action) +
                                             "' is none of init, validate, show"),
                  err);
}

}  // namespace weft::cli
