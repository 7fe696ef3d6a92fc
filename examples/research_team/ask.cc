// SPDX-License-Identifier: Apache-2.0
// Asks the team a question: where a trace begins.
#include <chrono>
#include <iostream>
#include <string>
#include <string_view>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "research_team.grpc.pb.h"

namespace {

constexpr std::chrono::seconds kDeadline{90};
constexpr std::chrono::seconds kFlush{5};
constexpr std::string_view kUsage =
    "Usage: research_team_ask --gateway ADDRESS [--json] QUESTION\n";

struct AskOptions {
  std::string gateway;
  std::string question;
  bool json = false;
};

/// Whether the arguments make sense; says on stderr what does not.
bool ReadArguments(int argc, char** argv, AskOptions& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--json") {
      options.json = true;
    } else if (arg == "--gateway" && i + 1 < argc) {
      options.gateway = argv[++i];
    } else if (!arg.starts_with("--") && options.question.empty()) {
      options.question = arg;
    } else {
      std::cerr << "ask: unexpected argument " << arg << "\n" << kUsage;
      return false;
    }
  }
  if (options.gateway.empty() || options.question.empty()) {
    std::cerr << "ask: " << (options.gateway.empty() ? "--gateway" : "QUESTION") << " is missing\n"
              << kUsage;
    return false;
  }
  return true;
}

void Print(const AskOptions& options, const research_team::v1::Answer& answer,
           const std::string& trace_id) {
  if (options.json) {
    std::cout << weft::JsonObject{{"answer", answer.text()},
                                  {"rounds", answer.rounds()},
                                  {"trace_id", trace_id}}
              << "\n";
  } else {
    std::cout << answer.text();
  }
}

}  // namespace

int main(int argc, char** argv) {
  AskOptions options;
  if (!ReadArguments(argc, argv, options)) return 2;
  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) {
    std::cerr << "ask: " << tracer.status().message() << "\n";
    return 2;
  }
  const auto gateway = research_team::v1::Gateway::NewStub(weft::CreateChannel(
      options.gateway, grpc::InsecureChannelCredentials(), {.tracer = *tracer}));

  weft::Run run("research", {.inputs = {{"question", options.question}}, .tracer = *tracer});
  research_team::v1::Question question;
  question.set_text(options.question);
  research_team::v1::Answer answer;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  const grpc::Status status = gateway->Ask(&context, question, &answer);
  if (status.ok()) {
    run.SetOutputs({{"answer", answer.text()}});
    Print(options, answer, run.context().trace_id().ToString());
  } else {
    run.SetError(status.error_message());
    std::cerr << "ask: " << options.gateway << ": " << status.error_message() << "\n";
  }
  run.End();
  (*tracer)->Shutdown(kFlush);
  return status.ok() ? 0 : 1;
}
