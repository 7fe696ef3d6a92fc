// SPDX-License-Identifier: Apache-2.0
// What a fiber for each call costs a server.
//
//   fibers_benchmark [ROUNDS [N]]   Each server is a process of its own with one thread for calls;
//                                   this one sends it N unary calls over TCP, 64 outstanding. Shows
//                                   calls per second of CPU of the server, medians of interleaved
//                                   rounds, and the ratio to the baseline. "fan-out" servers call a
//                                   backend twice at once for each call.
//   fibers_benchmark waiting [N]    Memory of a FiberServer for each of N calls that wait.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <boost/fiber/future.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/async/call.h>
#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_server.h>
#include <weft/context/async.h>

#include "rpc_benchmark.grpc.pb.h"

namespace {

using bench::Echo;
using bench::Message;
using Stub = Echo::Stub;
using Service = Echo::AsyncService;

std::string Address(int port) { return "127.0.0.1:" + std::to_string(port); }
std::unique_ptr<Stub> StubFor(int port) {
  return Echo::NewStub(grpc::CreateChannel(Address(port), grpc::InsecureChannelCredentials()));
}

// ---- servers. Each tells its port, and serves until the process is killed.

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

struct Event {
  virtual void Complete(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Event() = default;
};

// A loop over the queue and a state machine for each call: what one writes without fibers.
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

class FanOutCall final : public Event {
 public:
  FanOutCall(Service& service, grpc::ServerCompletionQueue& queue, Stub& backend)
      : service_(service), queue_(queue), backend_(backend) {
    service.RequestUnary(&context_, &request_, &writer_, &queue, &queue, tag());
  }
  void Complete(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    new FanOutCall(service_, queue_, backend_);
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
    FanOutCall* call = nullptr;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
    Message response;
    grpc::Status status;
  };

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
  int joined_ = 0;
  bool answered_ = false;
};

template <typename MakeCall>
void ServeQueue(const Tell& tell, MakeCall make_call) {
  Service service;
  Listening listening(&service);
  const auto queue = listening.builder.AddCompletionQueue();
  const auto server = listening.builder.BuildAndStart();
  for (int i = 0; i < 96; ++i) make_call(service, *queue);
  tell(listening.port);
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) static_cast<Event*>(tag)->Complete(ok);
}

void ServeBare(const Tell& tell) {
  ServeQueue(tell, [](Service& service, auto& queue) { new BareCall(service, queue); });
}

void ServeBareFanOut(const Tell& tell, int backend_port) {
  const auto backend = StubFor(backend_port);
  ServeQueue(tell,
             [&](Service& service, auto& queue) { new FanOutCall(service, queue, *backend); });
}

void ServeCallback(const Tell& tell) {
  class CallbackService final : public Echo::CallbackService {
    grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                    Message* response) override {
      response->set_text(request->text());
      auto* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
  } service;
  Listening listening(&service);
  const auto server = listening.builder.BuildAndStart();
  tell(listening.port);
  server->Wait();
}

template <typename Handler>
void ServeFibers(const Tell& tell, bool watch_cancellation, Handler handler) {
  Service service;
  Listening listening(&service);
  weft::FiberServer server({.threads = 1,
                            .max_concurrent_calls = 20'000,
                            .requested_calls = 96,
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

void ServeWaiting(const Tell& tell) {
  boost::fibers::promise<void> never;
  const auto future = never.get_future().share();
  ServeFibers(tell, true, [future](grpc::ServerContext*, const Message*, Message*) {
    future.wait();
    return grpc::Status::OK;
  });
}

// ---- the measuring side

// A server in a process of its own. Made before this process uses gRPC, which must not be forked.
class Child {
 public:
  template <typename Serve>
  explicit Child(Serve serve) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) std::exit(1);
    pid_ = fork();
    if (pid_ == 0) {
      serve([&](int port) {
        if (write(ends[1], &port, sizeof(port)) != sizeof(port)) std::exit(1);
      });
      std::exit(0);
    }
    if (read(ends[0], &port_, sizeof(port_)) != sizeof(port_)) std::exit(1);
    close(ends[0]);
    close(ends[1]);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int port() const { return port_; }
  double CpuSeconds() const {
    clockid_t clock{};
    timespec used{};
    if (clock_getcpuclockid(pid_, &clock) != 0) std::exit(1);
    clock_gettime(clock, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  }
  long ResidentKib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
    }
    return 0;
  }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
};

struct ClientCall {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
  Message response;
  grpc::Status status;

  void Start(Stub& stub, grpc::CompletionQueue& queue, const Message& request) {
    context = std::make_unique<grpc::ClientContext>();
    reader = stub.AsyncUnary(context.get(), request, &queue);
    reader->Finish(&response, &status, this);
  }
};

void SendCalls(Stub& stub, int count) {
  Message request;
  request.set_text("hello");
  grpc::CompletionQueue queue;
  std::vector<ClientCall> calls(64);
  int left = count;
  for (ClientCall& call : calls) call.Start(stub, queue, request), --left;
  void* tag = nullptr;
  bool ok = false;
  for (int open = 64; open > 0 && queue.Next(&tag, &ok);) {
    auto* const call = static_cast<ClientCall*>(tag);
    if (!call->status.ok()) std::exit(1);
    if (left-- > 0) {
      call->Start(stub, queue, request);
    } else {
      --open;
    }
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
}

struct Subject {
  const char* name;
  const char* target;
  std::size_t baseline;
  std::unique_ptr<Child> server;
  std::unique_ptr<Stub> stub = nullptr;
  std::vector<double> rounds = {};

  void Measure(int count) {
    const double before = server->CpuSeconds();
    SendCalls(*stub, count);
    rounds.push_back(count / (server->CpuSeconds() - before));
  }
  double Median() {
    std::sort(rounds.begin(), rounds.end());
    return rounds[rounds.size() / 2];
  }
};

int RunRounds(int rounds, int count) {
  const Child backend(ServeBare);
  const int port = backend.port();
  std::vector<Subject> subjects;
  const auto add = [&](const char* name, const char* target, std::size_t baseline, auto serve) {
    subjects.push_back({name, target, baseline, std::make_unique<Child>(serve)});
  };
  add("echo, bare Next loop", "", 0, ServeBare);
  add("echo, callback API", "", 0, ServeCallback);
  add("echo, fiber server", "", 0, [](const Tell& tell) { ServeFiberEcho(tell, true); });
  add("echo, cancellation not watched", ">= 0.95", 0,
      [](const Tell& tell) { ServeFiberEcho(tell, false); });
  add("fan-out, state machine", "", 4, [=](const Tell& tell) { ServeBareFanOut(tell, port); });
  add("fan-out, fiber server", "", 4,
      [=](const Tell& tell) { ServeFiberFanOut(tell, port, true); });
  add("fan-out, cancellation not watched", ">= 1.0", 4,
      [=](const Tell& tell) { ServeFiberFanOut(tell, port, false); });
  for (Subject& subject : subjects) subject.stub = StubFor(subject.server->port());
  for (Subject& subject : subjects) SendCalls(*subject.stub, 2000);  // warm up
  for (int round = 0; round < rounds; ++round) {
    for (Subject& subject : subjects) subject.Measure(count);
  }
  std::printf("%-36s %14s %7s  %s\n", "", "calls/CPU s", "ratio", "target");
  for (Subject& subject : subjects) {
    std::printf("%-36s %14.0f %7.3f  %s\n", subject.name, subject.Median(),
                subject.Median() / subjects[subject.baseline].Median(), subject.target);
  }
  return 0;
}

int RunWaiting(int count) {
  const Child server(ServeWaiting);
  const auto stub = StubFor(server.port());
  grpc::CompletionQueue queue;
  const Message request;
  std::vector<ClientCall> calls(static_cast<std::size_t>(count));
  const long before = server.ResidentKib();
  for (ClientCall& call : calls) call.Start(*stub, queue, request);
  long resident = before;
  for (int quiet = 0; quiet < 5;) {  // until it grows no more
    void* tag = nullptr;
    bool ok = false;
    queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    const long now = server.ResidentKib();
    quiet = now == resident ? quiet + 1 : 0;
    resident = now;
  }
  std::printf("%d waiting calls: %.1f KiB resident each (target <= 80)\n", count,
              static_cast<double>(resident - before) / count);
  std::fflush(stdout);
  for (ClientCall& call : calls) call.context->TryCancel();
  void* tag = nullptr;
  bool ok = false;
  for (int open = count; open > 0 && queue.Next(&tag, &ok); --open) {
  }
  queue.Shutdown();
  return queue.Next(&tag, &ok) ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index, int fallback) {
    return argc > index ? std::max(1, std::atoi(argv[index])) : fallback;
  };
  if (argc > 1 && std::string_view(argv[1]) == "waiting") return RunWaiting(number(2, 10'000));
  return RunRounds(number(1, 5), number(2, 20'000));
}
