// SPDX-License-Identifier: Apache-2.0
// A planner on a completion queue, with a state machine for each call: what the server is asked and
// what it asks others come out of one queue.
#include <functional>
#include <memory>
#include <thread>

#include <grpcpp/grpcpp.h>

#include <weft/async/context_completion_queue.h>
#include <weft/async/context_of.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/traceable.h>

#include "example.h"

namespace planning {
namespace {

const auto write_plan = weft::Traceable("write_plan", &PlanFromNotes);  // each call is a run

/// One call of MakePlan; deletes itself when it is over.
class PlanCall {
 public:
  using Queue = weft::ContextServerCompletionQueue<PlanCall>;
  PlanCall(Planner::AsyncService& service, Retriever::Stub& retriever, Queue& queue)
      : service_(service), retriever_(retriever), queue_(queue) {
    service_.RequestMakePlan(&context_, &task_, &responder_, queue_.queue(), queue_.queue(),
                             queue_.Tag(this, weft::Context()));  // nobody here is the cause
  }

  /// An operation of this call came out of the queue.
  void Proceed(bool ok) {
    if (step_ == Step::kAccept && ok) return AskRetriever();
    if (step_ == Step::kAsk) return Answer();
    delete this;  // Answered, or the server shuts down.
  }

 private:
  enum class Step { kAccept, kAsk, kAnswer };
  void AskRetriever() {
    new PlanCall(service_, retriever_, queue_);
    step_ = Step::kAsk;
    // snippet: call
    const weft::ContextScope scope(weft::ContextOf(context_));
    finding_ = retriever_.AsyncFind(&find_, task_, queue_.queue());
    finding_->Finish(&notes_, &status_, queue_.Tag(this));  // brings this context back
    // end snippet
  }

  void Answer() {
    step_ = Step::kAnswer;
    if (!status_.ok()) return responder_.FinishWithError(status_, queue_.Tag(this));
    responder_.Finish(write_plan(notes_), grpc::Status::OK, queue_.Tag(this));
  }

  Planner::AsyncService& service_;
  Retriever::Stub& retriever_;
  Queue& queue_;
  Step step_ = Step::kAccept;
  grpc::ServerContext context_;
  Task task_;
  grpc::ServerAsyncResponseWriter<Plan> responder_{&context_};
  grpc::ClientContext find_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Notes>> finding_;
  Notes notes_;
  grpc::Status status_;
};

absl::Status Main() {
  Example example;
  if (auto status = example.Start(); !status.ok()) return status;
  const auto tracer = example.tracer();  // In a program of yours: weft::Tracer::FromEnvironment().

  Retriever::Stub retriever(
      weft::CreateChannel(example.peers(), grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  Planner::AsyncService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), example.port());
  builder.RegisterService(&service);
  PlanCall::Queue queue(builder.AddCompletionQueue());
  if (auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) return status;
  const auto server = builder.BuildAndStart();
  if (server == nullptr) return absl::UnavailableError("the server could not start");
  new PlanCall(service, retriever, queue);
  std::jthread poller([&] { queue.Run(std::mem_fn(&PlanCall::Proceed)); });
  const absl::Status asked = example.AskForPlan();
  server->Shutdown();
  queue.Shutdown();
  poller.join();
  example.Finish();
  return asked;
}

}  // namespace
}  // namespace planning

int main() { return planning::Exit(planning::Main()); }
