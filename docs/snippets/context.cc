// SPDX-License-Identifier: Apache-2.0
// The code of docs/context.md.
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/grpcpp.h>
#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/call.h>
#include <weft/async/context_completion_queue.h>
#include <weft/async/context_of.h>
#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_server.h>
#include <weft/async/stream.h>
#include <weft/async/with_context.h>
#include <weft/context/async.h>
#include <weft/context/bind.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/context/inheriting.h>
#include <weft/context/spawn.h>

#include "agents.grpc.pb.h"

namespace agents {

// What programs of their own have.
struct Pool {
  void submit(const std::function<void()>& function);  // NOLINT(readability-identifier-naming)
};
struct Timer {
  void Every(std::chrono::seconds period, const std::function<void()>& function);
};
void Summarise(const std::string& page);
void RefreshCache();
std::string Ask(Model::Stub& model, const Question& question);
void Merge(const weft::CallResult<Answer>& first, const weft::CallResult<Answer>& second);
std::string Retrieve(const Question& question);
std::string Review(const Question& question);
std::vector<Token> Generate(const std::string& documents, const std::string& critique);
void Print(const Token& token);

void Threads(Pool& pool, const weft::Context& context, const std::string& page) {
  // snippet: bind
  pool.submit(weft::Bind([page] { Summarise(page); }));  // the context that is current here
  pool.submit(weft::Bind(context, [page] { Summarise(page); }));  // one that you kept
  // end snippet
}

void Outlives(Timer& timer) {
  using namespace std::chrono_literals;
  // snippet: detached
  timer.Every(1s, weft::Detached([] { RefreshCache(); }));
  // end snippet
}

void Fibers(Model::Stub& retriever, Model::Stub& critic, const Question& question) {
  std::string documents;
  std::string critique;
  // snippet: spawn
  boost::fibers::fiber first = weft::Spawn([&] { documents = Ask(retriever, question); });
  boost::fibers::fiber second = weft::Spawn([&] { critique = Ask(critic, question); });
  first.join();
  second.join();
  // end snippet
}

void Inherit(std::uint32_t threads) {
  // snippet: inheriting
  using WorkStealing = boost::fibers::algo::work_stealing;
  boost::fibers::use_scheduling_algorithm<weft::Inheriting<WorkStealing>>(threads);
  // end snippet
}

class Call {
 public:
  void OnEvent();

 private:
  void Reply();

  grpc::ServerContext server_context_;
};

// snippet: context-of
void Call::OnEvent() {
  weft::ContextScope scope(weft::ContextOf(server_context_));
  Reply();
}
// end snippet

struct Pending {
  void OnEvent(bool ok);

  grpc::ClientContext client_context;
  Answer answer;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Answer>> reader;
};

void Queue(Model::Stub& stub, const Question& question, Pending* pending) {
  // snippet: queue
  weft::ContextCompletionQueue<Pending> queue;
  pending->reader = stub.AsyncAsk(&pending->client_context, question, queue.queue());
  pending->reader->Finish(&pending->answer, &pending->status, queue.Tag(pending));

  queue.Run([](Pending* done, bool ok) { done->OnEvent(ok); });  // on each polling thread
  // end snippet
}

void FibersOnAQueue(grpc::CompletionQueue& queue, const std::shared_ptr<grpc::Channel>& channel,
                    const Question& question) {
  const auto retriever = Model::NewStub(channel);
  const auto critic = Model::NewStub(channel);
  // snippet: cq-scheduler
  weft::CqScheduler scheduler(&queue);
  const auto ask = [&](Model::Stub& model) {
    return weft::CallUnary(model, &Model::Stub::PrepareAsyncAsk, question);
  };
  auto first = weft::Async(ask, std::ref(*retriever));  // both calls are under way at once
  auto second = weft::Async(ask, std::ref(*critic));
  Merge(first.get(), second.get());
  // end snippet
}

grpc::Status OneFiber(Model::Stub& retriever, Model::Stub& critic, const Question& question) {
  // snippet: start-unary
  auto first = weft::StartUnary(retriever, &Model::Stub::PrepareAsyncAsk, question);
  auto second = weft::StartUnary(critic, &Model::Stub::PrepareAsyncAsk, question);
  weft::AwaitAll(first, second);
  if (!first.Await().ok()) return first.Await().status;
  Merge(first.Await(), second.Await());
  // end snippet
  return grpc::Status::OK;
}

grpc::Status Stream(Model::Stub& stub, const Question& prompt) {
  // snippet: open-stream
  auto tokens = weft::OpenStream(stub, &Model::Stub::PrepareAsyncGenerate, prompt);
  for (Token token; tokens.Read(&token);) Print(token);
  return tokens.Finish();
  // end snippet
}

// snippet: fiber-handler
grpc::Status Write(grpc::ServerContext*, const Question* question,
                   weft::ResponseWriter<Token>& tokens) {
  auto documents = weft::Async(Retrieve, std::ref(*question));  // two others, at once
  auto critique = weft::Async(Review, std::ref(*question));
  for (const Token& token : Generate(documents.get(), critique.get())) {
    if (!tokens.Write(token)) break;  // the caller has gone
  }
  return grpc::Status::OK;
}
// end snippet

absl::Status ServeFibers(grpc::ServerBuilder& builder, Model::AsyncService& service) {
  // snippet: fiber-server
  weft::FiberServer server;
  server.Handle(&service, &Model::AsyncService::RequestGenerate, Write);  // a line for each method
  if (absl::Status started = server.Start(builder); !started.ok()) return started;
  // end snippet
  return absl::OkStatus();
}

class Conversation : public grpc::ServerBidiReactor<Question, Answer> {
 public:
  explicit Conversation(Model::Stub& model);
  void OnDone() override;
};

class Service : public Model::CallbackService {
 public:
  explicit Service(Model::Stub& model) : model_(model) {}

  // snippet: reactor
  grpc::ServerBidiReactor<Question, Answer>* Converse(grpc::CallbackServerContext*) override {
    return new weft::WithContext<Conversation>(model_);
  }
  // end snippet

 private:
  Model::Stub& model_;
};

using UserId = std::string;
void Log(const UserId& id);

// snippet: values
inline constexpr weft::ContextKey<UserId> kUserKey;

void Handle(const UserId& user) {
  weft::ContextScope scope(weft::Context::Current().With(kUserKey, user));
  if (const UserId* id = weft::Context::View().Find(kUserKey)) Log(*id);
}
// end snippet

}  // namespace agents
