// SPDX-License-Identifier: Apache-2.0
// The code of README.md and docs/quickstart.md.
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <grpcpp/grpcpp.h>

// snippet: includes
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/tracer.h>
// end snippet
#include <weft/tracing/run.h>
#include <weft/tracing/traceable.h>

#include "agents.pb.h"

namespace agents {

// snippet: server
absl::Status Serve(const std::string& address, grpc::Service& service) {
  const auto tracer = weft::Tracer::FromEnvironment();  // LANGSMITH_*, WEFT_* variables
  if (!tracer.ok()) return tracer.status();             // says which one is wrong
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  if (absl::Status status = weft::InterceptServer(builder, {.tracer = *tracer}); !status.ok()) {
    return status;
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError("cannot listen on " + address);
  server->Wait();
  return absl::OkStatus();
}
// end snippet

std::shared_ptr<grpc::Channel> Connect(const std::shared_ptr<weft::Tracer>& tracer) {
  const auto credentials = grpc::InsecureChannelCredentials();
  // snippet: client
  auto channel = weft::CreateChannel("dns:///retriever:50051", credentials, {.tracer = tracer});
  // end snippet
  return channel;
}

Answer Think(const Question& question);

Answer MakePlan(const Question& question) {
  // snippet: traceable
  const auto plan = weft::Traceable("plan", {.run_type = weft::RunType::kLlm}, &Think);
  Answer answer = plan(question);  // a child of the call that is being handled
  // end snippet
  return answer;
}

weft::JsonArray Rerank(int count);

void RerankOnce() {
  // snippet: run
  weft::Run run("rerank", {.run_type = weft::RunType::kTool, .inputs = {{"k", 8}}});
  run.SetOutputs({{"ids", Rerank(8)}});
  // end snippet
}

}  // namespace agents
