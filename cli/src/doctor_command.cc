// SPDX-License-Identifier: Apache-2.0
#include "doctor_command.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include <weft/collector/config.h>

#include "doctor_checks.h"
#include "http_client.h"
#include "text.h"

namespace weft::cli {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"ok", "warn", "FAIL"};
constexpr std::array<std::string_view, 3> kJsonNames = {"ok", "warning", "failure"};
constexpr std::array<Colour, 3> kColours = {Colour::kGreen, Colour::kYellow, Colour::kRed};

constexpr std::string_view kHelp =
    R"(Usage: weft doctor [--json] [--endpoint URL] [OPTION of weft collect...]

Looks whether a collector can run here with the same options (--config FILE,
--data DIR ...) and says what to do where it cannot: the configuration, the data
directory, space and speed of the disk, ports, certificates, keys, the clock, and
every destination. No run is sent.

  --endpoint URL  look at the collector that runs there, too
  --json          findings as JSON, one per line

Exit status: 0 nothing failed, 1 something did, 2 wrong use.
)";

// Takes `--endpoint URL` out of the arguments; the others are those of `weft collect`.
absl::Status TakeEndpoint(std::vector<std::string_view>& args, std::string* endpoint) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i].starts_with("--endpoint=")) {
      *endpoint = args[i].substr(std::string_view("--endpoint=").size());
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i));
    } else if (args[i] == "--endpoint") {
      if (i + 1 == args.size()) return absl::InvalidArgumentError("--endpoint needs a value");
      *endpoint = args[i + 1];
      args.erase(args.begin() + static_cast<std::ptrdiff_t>(i),
                 args.begin() + static_cast<std::ptrdiff_t>(i) + 2);
    } else {
      continue;
    }
    absl::StatusOr<std::string> chosen = ChooseEndpoint(*endpoint);
    if (!chosen.ok()) return chosen.status();
    *endpoint = *std::move(chosen);
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

void Print(const Finding& finding, bool json, const Style& style, std::ostream& out) {
  const auto level = static_cast<std::size_t>(finding.health);
  if (json) {
    const boost::json::object object = {
        {"result", boost::json::string_view(kJsonNames[level].data(), kJsonNames[level].size())},
        {"check", finding.check},
        {"text", finding.text},
        {"advice", finding.advice}};
    out << boost::json::serialize(object) << "\n";
    return;
  }
  out << Paint(style, kColours[level], PadRight(kNames[level], 6)) << PadRight(finding.check, 13)
      << EscapeControls(finding.text) << "\n";
  if (!finding.advice.empty()) out << std::string(19, ' ') << "-> " << finding.advice << "\n";
}

}  // namespace

int DoctorCommand(Args args, const Style& style, std::ostream& out, std::ostream& err) {
  if (WantsHelp(args)) {
    out << kHelp;
    return kDone;
  }
  std::vector<std::string_view> flags(args.begin(), args.end());
  const bool json = std::erase(flags, "--json") > 0;
  std::string endpoint;
  absl::Status status = TakeEndpoint(flags, &endpoint);
  if (!status.ok()) return WrongUse("doctor", status, err);
  const collector::ConfigReport report =
      collector::ExamineConfig(flags, collector::ProcessEnvironment());
  Findings findings;
  for (const absl::Status& problem : report.problems) {
    if (absl::IsInvalidArgument(problem)) return WrongUse("doctor", problem, err);
    findings.push_back({Health::kFailure, "config", std::string(problem.message()),
                        "`weft config show` says what holds, docs/configuration.md what is known"});
  }
  if (report.problems.empty()) {
    findings.push_back({Health::kOk, "config", "the configuration is right"});
  }
  CheckMachine(report.config, findings);
  CheckDestinations(report.config, findings);
  if (!endpoint.empty()) CheckCollector(endpoint, findings);
  for (const Finding& finding : findings) Print(finding, json, style, out);
  const bool failed = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.health == Health::kFailure;
  });
  return failed ? kFailed : kDone;
}

}  // namespace weft::cli
