// SPDX-License-Identifier: Apache-2.0
#include "echo_servers.h"

#include <array>
#include <atomic>
#include <cstdlib>
#include <map>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <boost/fiber/future.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/async/call.h>
#include <weft/async/fiber_server.h>
#include <weft/context/async.h>

namespace bench {

std::string Address(int port) { return "127.0.0.1:" + std::to_string(port); }

std::unique_ptr<Echo::Stub> StubFor(int port) {
  return Echo::NewStub(grpc::CreateChannel(Address(port), grpc::InsecureChannelCredentials()));
}

namespace {

// Calls that a server asks for ahead, fibers or not: FiberServer's default. More cost both: gRPC as
// Debian builds it searches all that is outstanding for each event.
constexpr int kRequestedCalls = 16;

using Stub = Echo::Stub;
using Service = Echo::AsyncService;
using Tell = std::function<void(int port)>;

class Listening {
 public:
  explicit Listening(grpc::Service* service) {
    builder.AddListeningPort(Address(0), grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service);
  }
  grpc::ServerBuilder builder;
  int port = 0;
};

// ---- what one writes without fibers

struct Event {
  virtual void Complete(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Event() = default;
};

class BareCall final : public Event {
 public:
  BareCall(Service& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    service.RequestUnary(&context_, &request_, &writer_, &queue, &queue, tag());
  }
  void Complete(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new BareCall(service_, queue_);
    answered_ = true;
    response_.set_text(request_.text());
    writer_.Finish(response_, grpc::Status::OK, tag());
  }

 private:
  Service& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  Message request_;
  Message response_;
  grpc::ServerAsyncResponseWriter<Message> writer_{&context_};
  bool answered_ = false;
};

// Watched, it learns that its client has gone, as the calls of a FiberServer do, and cancels what
// it has asked for.
class BareFanOutCall final : public Event {
 public:
  BareFanOutCall(Service& service, grpc::ServerCompletionQueue& queue, Stub& backend, bool watched)
      : service_(service), queue_(queue), backend_(backend), watched_(watched) {
    if (watched_) context_.AsyncNotifyWhenDone(closed_.tag());
    service.RequestUnary(&context_, &request_, &writer_, &queue, &queue, tag());
  }
  void Complete(bool ok) override {
    if (!ok || answered_) return Release();
    if (watched_) ++references_;
    new BareFanOutCall(service_, queue_, backend_, watched_);
    for (Leg& leg : legs_) {
      leg.call = this;
      leg.reader = backend_.PrepareAsyncUnary(&leg.context, request_, &queue_);
      leg.reader->StartCall();
      leg.reader->Finish(&leg.response, &leg.status, leg.tag());
    }
  }

 private:
  struct Leg final : Event {
    void Complete(bool) override { call->Join(); }
    BareFanOutCall* call = nullptr;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
    Message response;
    grpc::Status status;
  };
  struct Closed final : Event {
    explicit Closed(BareFanOutCall* its_call) : call(its_call) {}
    void Complete(bool) override { call->WasClosed(); }
    BareFanOutCall* call;
  };

  void Release() {
    if (--references_ == 0) delete this;
  }
  void WasClosed() {
    if (context_.IsCancelled() && !answered_) {
      for (Leg& leg : legs_) leg.context.TryCancel();
    }
    Release();
  }
  void Join() {
    if (++joined_ < 2) return;
    answered_ = true;
    response_.set_text(legs_[0].response.text() + legs_[1].response.text());
    writer_.Finish(response_, grpc::Status::OK, tag());
  }

  Service& service_;
  grpc::ServerCompletionQueue& queue_;
  Stub& backend_;
  grpc::ServerContext context_;
  Message request_;
  Message response_;
  grpc::ServerAsyncResponseWriter<Message> writer_{&context_};
  std::array<Leg, 2> legs_;
  Closed closed_{this};
  const bool watched_;
  int references_ = 1;
  int joined_ = 0;
  bool answered_ = false;
};

template <typename MakeCall>
void ServeQueue(const Tell& tell, MakeCall make_call) {
  Service service;
  Listening listening(&service);
  const auto queue = listening.builder.AddCompletionQueue();
  const auto server = listening.builder.BuildAndStart();
  for (int i = 0; i < kRequestedCalls; ++i) make_call(service, *queue);
  tell(listening.port);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Event*>(tag)->Complete(ok);
}

void ServeBare(const Tell& tell, int) {
  ServeQueue(tell, [](Service& service, auto& queue) { new BareCall(service, queue); });
}

void ServeBareFanOut(const Tell& tell, int backend_port, bool watched) {
  const auto backend = StubFor(backend_port);
  ServeQueue(tell, [&](Service& service, auto& queue) {
    new BareFanOutCall(service, queue, *backend, watched);
  });
}

// ---- the callback interface

class CallbackEcho final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                  Message* response) override {
    response->set_text(request->text());
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class CallbackFanOut final : public Echo::CallbackService {
 public:
  explicit CallbackFanOut(int backend_port) : backend_(StubFor(backend_port)) {}

 private:
  struct Call {
    std::array<grpc::ClientContext, 2> contexts;
    std::array<Message, 2> responses;
    std::atomic<int> joined = 0;
  };

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                  Message* response) override {
    auto* const reactor = context->DefaultReactor();
    auto* const call = new Call;
    for (std::size_t leg = 0; leg < 2; ++leg) {
      backend_->async()->Unary(
          &call->contexts[leg], request, &call->responses[leg],
          [call, response, reactor](const grpc::Status&) {
            if (++call->joined < 2) return;
            response->set_text(call->responses[0].text() + call->responses[1].text());
            delete call;
            reactor->Finish(grpc::Status::OK);
          });
    }
    return reactor;
  }

  const std::unique_ptr<Stub> backend_;
};

void ServeCallback(const Tell& tell, grpc::Service* service) {
  Listening listening(service);
  const auto server = listening.builder.BuildAndStart();
  tell(listening.port);
  server->Wait();
}

// ---- fibers

template <typename Handler>
void ServeFibers(const Tell& tell, bool watch_cancellation, Handler handler) {
  Service service;
  Listening listening(&service);
  weft::FiberServer server({.threads = 1,
                            .max_concurrent_calls = 20'000,
                            .requested_calls = kRequestedCalls,
                            .watch_cancellation = watch_cancellation});
  server.Handle(&service, &Service::RequestUnary, std::move(handler));
  if (!server.Start(listening.builder).ok()) std::exit(1);
  tell(listening.port);
  server.server()->Wait();
}

void ServeFiberEcho(const Tell& tell, bool watch_cancellation) {
  ServeFibers(tell, watch_cancellation,
              [](grpc::ServerContext*, const Message* request, Message* response) {
                response->set_text(request->text());
                return grpc::Status::OK;
              });
}

void ServeFiberFanOut(const Tell& tell, int backend_port, bool watch_cancellation) {
  const auto backend = StubFor(backend_port);
  ServeFibers(tell, watch_cancellation,
              [&](grpc::ServerContext*, const Message* request, Message* response) {
                auto first = weft::StartUnary(*backend, &Stub::PrepareAsyncUnary, *request);
                auto second = weft::StartUnary(*backend, &Stub::PrepareAsyncUnary, *request);
                weft::AwaitAll(first, second);
                response->set_text(first.Await().response.text() + second.Await().response.text());
                return grpc::Status::OK;
              });
}

void ServeChildFanOut(const Tell& tell, int backend_port, bool watch_cancellation) {
  const auto backend = StubFor(backend_port);
  boost::fibers::pooled_fixedsize_stack stacks(64 * 1024);
  ServeFibers(tell, watch_cancellation,
              [&](grpc::ServerContext*, const Message* request, Message* response) {
                const auto ask = [&] {
                  return weft::CallUnary(*backend, &Stub::PrepareAsyncUnary, *request);
                };
                auto first =
                    weft::Async(boost::fibers::launch::post, std::allocator_arg, stacks, ask);
                const auto second = ask();
                response->set_text(first.get().response.text() + second.response.text());
                return grpc::Status::OK;
              });
}

void ServeWaiting(const Tell& tell, int) {
  boost::fibers::promise<void> never;
  const auto future = never.get_future().share();
  ServeFibers(tell, true, [future](grpc::ServerContext*, const Message*, Message*) {
    future.wait();
    return grpc::Status::OK;
  });
}

}  // namespace

bool Serve(const std::string& name, int backend_port, const Tell& tell) {
  static const std::map<std::string, void (*)(const Tell&, int)> servers = {
      {"bare", ServeBare},
      {"callback",
       [](const Tell& say, int) {
         CallbackEcho service;
         ServeCallback(say, &service);
       }},
      {"fiber", [](const Tell& say, int) { ServeFiberEcho(say, true); }},
      {"fiber-unwatched", [](const Tell& say, int) { ServeFiberEcho(say, false); }},
      {"fan-out-bare", [](const Tell& say, int port) { ServeBareFanOut(say, port, false); }},
      {"fan-out-bare-watched", [](const Tell& say, int port) { ServeBareFanOut(say, port, true); }},
      {"fan-out-callback",
       [](const Tell& say, int port) {
         CallbackFanOut service(port);
         ServeCallback(say, &service);
       }},
      {"fan-out-fiber", [](const Tell& say, int port) { ServeFiberFanOut(say, port, true); }},
      {"fan-out-fiber-unwatched",
       [](const Tell& say, int port) { ServeFiberFanOut(say, port, false); }},
      {"fan-out-child", [](const Tell& say, int port) { ServeChildFanOut(say, port, true); }},
      {"fan-out-child-unwatched",
       [](const Tell& say, int port) { ServeChildFanOut(say, port, false); }},
      {"waiting", ServeWaiting},
  };
  const auto server = servers.find(name);
  if (server == servers.end()) return false;
  server->second(tell, backend_port);
  return true;
}

}  // namespace bench
