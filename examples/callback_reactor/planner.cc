// SPDX-License-Identifier: Apache-2.0
// A planner with gRPC's callback interface: a conversation in which each draft of a task is
// answered with a plan. All reactions run on threads of gRPC, and in the context of the call.
#include <memory>
#include <optional>

#include <grpcpp/grpcpp.h>

#include <weft/async/with_context.h>
#include <weft/context/bind.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/traceable.h>

#include "example.h"

namespace planning {
namespace {

const auto write_plan = weft::Traceable("write_plan", &PlanFromObjections);  // each call is a run

class Discussion : public grpc::ServerBidiReactor<Task, Plan> {
 public:
  explicit Discussion(Critic::Stub& critic) : critic_(critic) { StartRead(&task_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);  // The caller is content.
    // snippet: callback
    // The context is current in this reaction; the callback gets it from Bind.
    critic_.async()->Review(&review_.emplace(), &task_, &objections_,
                            weft::Bind([this](const grpc::Status& status) { Answer(status); }));
    // end snippet
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller went away"));
    StartRead(&task_);
  }
  void OnDone() override { delete this; }

 private:
  void Answer(const grpc::Status& reviewed) {
    if (!reviewed.ok()) return Finish(reviewed);
    plan_ = write_plan(objections_);
    StartWrite(&plan_);
  }

  Critic::Stub& critic_;
  std::optional<grpc::ClientContext> review_;  // Anew for each call.
  Task task_;
  Objections objections_;
  Plan plan_;
};

class CallbackPlanner final : public Planner::CallbackService {
 public:
  explicit CallbackPlanner(const std::shared_ptr<grpc::Channel>& peers) : critic_(peers) {}

  // snippet: reactor
  grpc::ServerBidiReactor<Task, Plan>* Discuss(grpc::CallbackServerContext*) override {
    return new weft::WithContext<Discussion>(critic_);  // in the place of `new Discussion(critic_)`
  }
  // end snippet

 private:
  Critic::Stub critic_;
};

absl::Status Main() {
  Example example;
  if (auto status = example.Start(); !status.ok()) return status;
  const auto tracer = example.tracer();  // In a program of yours: weft::Tracer::FromEnvironment().

  CallbackPlanner planner(
      weft::CreateChannel(example.peers(), grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), example.port());
  builder.RegisterService(&planner);
  if (auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) return status;
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError("the server could not start");

  const absl::Status asked = example.Discuss();
  server->Shutdown();
  server->Wait();
  example.Finish();
  return asked;
}

}  // namespace
}  // namespace planning

int main() { return planning::Exit(planning::Main()); }
