// SPDX-License-Identifier: Apache-2.0
// Calls the gateway as it should be called, and in the ways it refuses; then prints what the
// gateway counted and the trace of each call.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <weft/interceptors/create_channel.h>
#include <weft/tracing/run.h>

#include "example.h"
#include "gateway.h"

namespace planning {
namespace {

using namespace std::chrono_literals;

struct Attempt {
  const char* name;
  const char* key;
  std::chrono::milliseconds timeout = 30s;
  const char* task = "Test the backups";
};

constexpr Attempt kAttempts[] = {
    {.name = "a good call", .key = "s3cret"},
    {.name = "one without the key", .key = "guessed"},
    {.name = "one too late", .key = "s3cret", .timeout = 900ms},
    {.name = "another good call", .key = "s3cret"},
    {.name = "one that the handler breaks on", .key = "s3cret", .task = ""},
    {.name = "one too many", .key = "s3cret"},
};

void Make(const Attempt& attempt, Retriever::Stub& gateway,
          const std::shared_ptr<weft::Tracer>& tracer) {
  const weft::Run run(attempt.name, {.tracer = tracer});
  grpc::ClientContext context;
  context.AddMetadata(kKeyHeader, attempt.key);
  context.set_deadline(std::chrono::system_clock::now() + attempt.timeout);
  Task task;
  task.set_text(attempt.task);
  Notes notes;
  const grpc::Status status = gateway.Find(&context, task, &notes);
  std::cout << attempt.name << ": "
            << (status.ok() ? std::to_string(notes.notes_size()) + " notes"
                            : status.error_message())
            << "\n";
}

/// The lines of what Prometheus would read that count ended calls.
void PrintCounts(const std::string& metrics) {
  std::cout << "\n";
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("grpc_server_handled_total{") && !line.ends_with(" 0")) {
      std::cout << line << "\n";
    }
  }
}

/// What the runs of the gateway say of the calls that it refused.
void PrintRejections(const Example& example) {
  std::cout << "\n";
  std::vector<weft::RunRecord> runs = example.runs();
  std::ranges::sort(runs, {}, &weft::RunRecord::start);  // They came in the order of their ends.
  for (const weft::RunRecord& run : runs) {
    const weft::JsonObject metadata = run.AllMetadata();
    if (const auto* by = metadata.if_contains("weft.rejected_by")) {
      std::cout << "rejected by " << by->as_string().c_str() << ": "
                << metadata.at("weft.verdict").as_string().c_str() << "\n";
    }
  }
  std::cout << "\n";
}

absl::Status Main() {
  Example example;
  if (auto status = example.Start(); !status.ok()) return status;
  Gateway gateway(example.tracer());
  if (auto status = gateway.Start(example.peers()); !status.ok()) return status;
  Retriever::Stub stub(weft::CreateChannel(gateway.address(), grpc::InsecureChannelCredentials(),
                                           {.tracer = example.tracer()}));
  for (const Attempt& attempt : kAttempts) Make(attempt, stub, example.tracer());
  gateway.Stop();
  PrintCounts(gateway.Metrics());
  PrintRejections(example);
  example.Finish();
  return absl::OkStatus();
}

}  // namespace
}  // namespace planning

int main() { return planning::Exit(planning::Main()); }
