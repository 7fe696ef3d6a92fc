// SPDX-License-Identifier: Apache-2.0
// A planner whose method is a C++20 coroutine. It awaits calls of ordinary stubs; each completes on
// a thread of gRPC, where the coroutine goes on with the context that it had.
#include <memory>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/traceable.h>

#include "example.h"
#include "unary.h"

namespace planning {
namespace {

using ToRetriever = Retriever::StubInterface::async_interface;
using ToCritic = Critic::StubInterface::async_interface;

const auto write_plan = weft::Traceable("write_plan", &WritePlan);  // each call is a run

class CoroutinePlanner final : public Planner::CallbackService {
 public:
  explicit CoroutinePlanner(const std::shared_ptr<grpc::Channel>& peers)
      : retriever_(peers), critic_(peers) {}

  // snippet: method
  grpc::ServerUnaryReactor* MakePlan(grpc::CallbackServerContext*, const Task* task,
                                     Plan* plan) override {
    // A run may stay open while the coroutine waits: both calls are its children, though the second
    // is made on the thread that brought the answer to the first.
    weft::Run gather("gather");
    const auto notes = co_await Call(retriever_.async(), &ToRetriever::Find, *task);
    if (!notes.status.ok()) co_return notes.status;
    const auto objections = co_await Call(critic_.async(), &ToCritic::Review, *task);
    if (!objections.status.ok()) co_return objections.status;
    gather.End();
    *plan = write_plan(notes.response, objections.response);
    co_return grpc::Status::OK;
  }
  // end snippet

 private:
  Retriever::Stub retriever_;
  Critic::Stub critic_;
};

absl::Status Main() {
  Example example;
  if (auto status = example.Start(); !status.ok()) return status;
  const auto tracer = example.tracer();  // In a program of yours: weft::Tracer::FromEnvironment().

  CoroutinePlanner planner(
      weft::CreateChannel(example.peers(), grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), example.port());
  builder.RegisterService(&planner);
  if (auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) return status;
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError("the server could not start");

  const absl::Status asked = example.AskForPlan();
  server->Shutdown();
  server->Wait();
  example.Finish();
  return asked;
}

}  // namespace
}  // namespace planning

int main() { return planning::Exit(planning::Main()); }
