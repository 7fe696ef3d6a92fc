// SPDX-License-Identifier: Apache-2.0
// A planner whose every call is a fiber. The handler is straight code: it asks two other agents at
// once and waits for both, and meanwhile its thread serves other calls.
#include <chrono>
#include <functional>
#include <memory>

#include <grpcpp/grpcpp.h>

#include <weft/async/call.h>
#include <weft/async/fiber_server.h>
#include <weft/context/async.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/traceable.h>

#include "example.h"

namespace planning {
namespace {

const auto write_plan = weft::Traceable("write_plan", &WritePlan);  // each call is a run

class FiberPlanner {
 public:
  explicit FiberPlanner(const std::shared_ptr<grpc::Channel>& peers)
      : retriever_(peers), critic_(peers) {}

  // snippet: handler
  grpc::Status MakePlan(grpc::ServerContext* context, const Task* task, Plan* plan) {
    // A child fiber has the context of the fiber that starts it, so both calls are children of the
    // one that is being handled. They are under way before the first `get` waits.
    auto finding = weft::Async([&] {
      const auto call = grpc::ClientContext::FromServerContext(*context);  // with its deadline
      return weft::CallUnary(retriever_, &Retriever::Stub::PrepareAsyncFind, *task, *call);
    });
    auto reviewing = weft::Async([&] {
      const auto call = grpc::ClientContext::FromServerContext(*context);
      return weft::CallUnary(critic_, &Critic::Stub::PrepareAsyncReview, *task, *call);
    });
    const auto notes = finding.get();
    const auto objections = reviewing.get();
    if (!notes.ok()) return notes.status;
    if (!objections.ok()) return objections.status;
    *plan = write_plan(notes.response, objections.response);
    return grpc::Status::OK;
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

  FiberPlanner planner(
      weft::CreateChannel(example.peers(), grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  Planner::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), example.port());
  builder.RegisterService(&service);
  if (auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) return status;
  weft::FiberServer server;
  server.Handle(&service, &Planner::AsyncService::RequestMakePlan,
                std::bind_front(&FiberPlanner::MakePlan, &planner));
  if (auto status = server.Start(builder); !status.ok()) return status;

  const absl::Status asked = example.AskForPlan();
  server.Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  example.Finish();
  return asked;
}

}  // namespace
}  // namespace planning

int main() { return planning::Exit(planning::Main()); }
