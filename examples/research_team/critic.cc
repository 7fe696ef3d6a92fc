// SPDX-License-Identifier: Apache-2.0
// Judges the claims of an answer while they arrive. A service on a completion queue: each step says
// with ContextOf to which call it belongs, and the rest is as everywhere.
#include <memory>
#include <set>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include <weft/async/context_of.h>
#include <weft/context/context_scope.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "research_team.grpc.pb.h"
#include "text.h"

namespace research_team {
namespace {

/// One call of Review; deletes itself when it is over.
class ReviewCall {
 public:
  ReviewCall(v1::Critic::AsyncService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue), stream_(&context_) {
    service_.RequestReview(&context_, &stream_, &queue_, &queue_, this);
  }

  /// An operation of this call came out of the queue.
  void Proceed(bool ok) {
    if (step_ == Step::kAccept) {
      if (!ok) return Delete();  // The server shuts down.
      new ReviewCall(service_, queue_);
    }
    const weft::ContextScope scope(weft::ContextOf(context_));
    switch (step_) {
      case Step::kAccept:
      case Step::kVerdict:
        return ok ? Read() : Finish();
      case Step::kRead:
        return ok ? OnMessage() : Decide();
      case Step::kDecision:
        return Finish();
      case Step::kFinish:
        return Delete();
    }
  }

 private:
  enum class Step { kAccept, kRead, kVerdict, kDecision, kFinish };

  void Read() {
    step_ = Step::kRead;
    request_.Clear();
    stream_.Read(&request_, this);
  }

  void OnMessage() {
    if (!request_.has_claim()) {
      wanted_ = TermSet(request_.question());
      missing_ = wanted_;
      return Read();
    }
    Judge();
    step_ = Step::kVerdict;
    stream_.Write(reply_, this);
  }

  /// A claim is accepted when it speaks of what was asked.
  void Judge() {
    weft::Run run("judge_claim", {.run_type = weft::RunType::kTool,
                                  .inputs = {{"claim", request_.claim().text()}}});
    std::size_t shared = 0;
    for (const std::string& term : TermSet(request_.claim().text())) {
      shared += wanted_.contains(term);
      missing_.erase(term);
    }
    reply_.Clear();
    v1::Verdict& verdict = *reply_.mutable_verdict();
    verdict.set_claim(claims_++);
    verdict.set_accepted(shared > 0);
    verdict.set_reason(std::to_string(shared) + " of " + std::to_string(wanted_.size()) +
                       " words of the question");
    run.SetOutputs({{"accepted", verdict.accepted()}, {"reason", verdict.reason()}});
  }

  void Decide() {
    weft::Run run("decide", {.inputs = {{"claims", claims_}}});
    reply_.Clear();
    v1::Decision& decision = *reply_.mutable_decision();
    decision.set_send_back(!missing_.empty());
    weft::JsonArray missing;
    for (const std::string& term : missing_) {
      decision.add_missing_terms(term);
      missing.emplace_back(term);
    }
    run.SetOutputs({{"send_back", decision.send_back()}, {"missing", std::move(missing)}});
    step_ = Step::kDecision;
    stream_.Write(reply_, this);
  }

  void Finish() {
    step_ = Step::kFinish;
    stream_.Finish(grpc::Status::OK, this);
  }

  void Delete() { delete this; }

  v1::Critic::AsyncService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<v1::ReviewReply, v1::ReviewRequest> stream_;
  Step step_ = Step::kAccept;
  v1::ReviewRequest request_;
  v1::ReviewReply reply_;
  std::set<std::string> wanted_;
  std::set<std::string> missing_;
  std::uint32_t claims_ = 0;
};

void Poll(grpc::ServerCompletionQueue& queue) {
  void* tag = nullptr;
  for (bool ok = false; queue.Next(&tag, &ok);) static_cast<ReviewCall*>(tag)->Proceed(ok);
}

int Main(int argc, char** argv) {
  const AgentOptions options = ReadFlags(argc, argv, {.name = "critic"});

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(options, tracer.status());
  v1::Critic::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const auto queue = builder.AddCompletionQueue();
  if (const auto status = weft::InterceptServer(builder, {.tracer = *tracer}); !status.ok()) {
    return Fail(options, status);
  }
  std::thread poller;
  const AgentHooks hooks{.started =
                             [&] {
                               new ReviewCall(service, *queue);
                               poller = std::thread([&] { Poll(*queue); });
                             },
                         .stopped =
                             [&] {
                               queue->Shutdown();
                               poller.join();
                             }};
  return Serve(builder, options, hooks);
}

}  // namespace
}  // namespace research_team

int main(int argc, char** argv) { return research_team::Main(argc, argv); }
