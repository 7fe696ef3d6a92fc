// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

#include <algorithm>
#include <array>
#include <ostream>

#include <google/protobuf/stubs/common.h>
#include <grpcpp/version_info.h>

#include <weft/version.h>

#include "collect_command.h"
#include "config_command.h"
#include "demo_command.h"
#include "doctor_command.h"
#include "exec_command.h"
#include "headers_command.h"
#include "ls_command.h"
#include "parked_command.h"
#include "show_command.h"
#include "text.h"
#include "usage_command.h"

namespace weft::cli {
namespace {

struct Streams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(Args args, const Style& style, const Streams& streams);
};

constexpr std::array kCommands = {
    Command{"collect", "run a collector",
            [](Args args, const Style&, const Streams&) { return CollectCommand(args); }},
    Command{"config", "write, check and explain a collector's configuration",
            [](Args args, const Style&, const Streams& streams) {
              return ConfigCommand(args, streams.out, streams.err);
            }},
    Command{"demo", "show a trace of a team of agents, from nothing",
            [](Args args, const Style& style, const Streams& streams) {
              return DemoCommand(args, style, streams.out, streams.err);
            }},
    Command{"ls", "list traces",
            [](Args args, const Style& style, const Streams& streams) {
              return LsCommand(args, style, streams.out, streams.err);
            }},
    Command{"show", "show a trace as a tree",
            [](Args args, const Style& style, const Streams& streams) {
              return ShowCommand(args, style, streams.out, streams.err);
            }},
    Command{"usage", "add up tokens and cost by user, workflow, service ...",
            [](Args args, const Style& style, const Streams& streams) {
              return UsageCommand(args, style, streams.out, streams.err);
            }},
    Command{"export", "write a trace as JSON lines",
            [](Args args, const Style& style, const Streams& streams) {
              return ExportCommand(args, style, streams.out, streams.err);
            }},
    Command{"doctor", "say whether a collector can run here, and what to do",
            [](Args args, const Style& style, const Streams& streams) {
              return DoctorCommand(args, style, streams.out, streams.err);
            }},
    Command{"exec", "run a program as a run of a trace",
            [](Args args, const Style&, const Streams& streams) {
              return ExecCommand(args, streams.out, streams.err);
            }},
    Command{"parked", "list, send again or delete what could not be delivered",
            [](Args args, const Style& style, const Streams& streams) {
              return ParkedCommand(args, style, streams.out, streams.err);
            }},
    Command{"headers", "explain, read and write the headers that carry a trace",
            [](Args args, const Style&, const Streams& streams) {
              return HeadersCommand(args, streams.in, streams.out, streams.err);
            }},
};

void PrintHelp(std::ostream& out) {
  out << "Usage: weft COMMAND [OPTION...]\n\nTraces LLM agents that talk over gRPC.\n\nCommands:\n";
  for (const Command& command : kCommands) {
    out << "  " << PadRight(command.name, 9) << command.summary << "\n";
  }
  out << "\nweft COMMAND --help says more; weft --version names the versions.\n";
}

void PrintVersion(std::ostream& out) {
  out << "weft " << WEFT_VERSION << " (gRPC " << GRPC_CPP_VERSION_STRING << ", protobuf "
      << google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION) << ")\n";
}

}  // namespace

int RunWeft(Args args, const Style& style, std::istream& in, std::ostream& out, std::ostream& err) {
  if (args.empty()) {
    PrintHelp(err);
    return kWrongUse;
  }
  const std::string_view first = args.front();
  if (first == "--help" || first == "-h" || first == "help") {
    PrintHelp(out);
    return kDone;
  }
  if (first == "--version") {
    PrintVersion(out);
    return kDone;
  }
  const auto found =
      std::find_if(kCommands.begin(), kCommands.end(),
                   [first](const Command& command) { return command.name == first; });
  if (found == kCommands.end()) {
    const std::string kind = first.starts_with('-') ? "unknown option " : "unknown command ";
    return WrongUse("", absl::InvalidArgumentError(kind + EscapeControls(first)), err);
  }
  return found->run(args.subspan(1), style, Streams{in, out, err});
}

}  // namespace weft::cli
