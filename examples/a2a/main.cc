// SPDX-License-Identifier: Apache-2.0
// An agent that speaks the A2A protocol, a client that asks it, and the traces of their
// conversation.
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/a2a.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "client.h"

namespace {

using Runs = std::shared_ptr<weft::testing::InMemoryExporter>;

/// That of the environment when LANGSMITH_TRACING says `true`, else one that keeps the runs.
absl::StatusOr<std::shared_ptr<weft::Tracer>> MakeTracer(const Runs& runs) {
  auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok() || (*tracer)->enabled()) return tracer;
  return weft::Tracer::Create({.exporters = {runs}});
}

/// What LangSmith would show: the runs as trees, and how many each conversation has.
void Print(const weft::testing::InMemoryExporter& runs) {
  std::map<std::string, int> conversations;
  for (const weft::RunRecord& run : runs.Runs()) {
    const weft::JsonObject metadata = run.AllMetadata();
    const weft::Json* const thread = metadata.if_contains("thread_id");
    ++conversations[thread == nullptr ? "no conversation" : std::string(thread->as_string())];
  }
  std::cout << "\n" << runs.Tree() << "\n";
  for (const auto& [name, count] : conversations) {
    std::cout << name << ": " << count << " runs\n";
  }
}

int Fail(std::string_view text) {
  std::cerr << "example_a2a: " << text << "\n";
  return 1;
}

}  // namespace

int main() {
  const auto runs = std::make_shared<weft::testing::InMemoryExporter>();
  const auto tracer = MakeTracer(runs);
  if (!tracer.ok()) return Fail(std::string(tracer.status().message()));

  a2a_example::Agent agent;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  absl::Status registered = weft::RegisterService(builder, &agent);
  registered.Update(
      weft::InterceptServer(builder, {.tracer = *tracer, .tracing = weft::A2aTracing()}));
  if (!registered.ok()) return Fail(std::string(registered.message()));
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return Fail("the agent could not start");

  const auto channel =
      weft::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(),
                          {.tracer = *tracer, .tracing = weft::A2aTracing()});
  const grpc::Status status = a2a_example::Converse(channel);
  server->Shutdown();
  server->Wait();
  if (!status.ok()) return Fail(status.error_message());
  Print(*runs);
  return 0;
}
