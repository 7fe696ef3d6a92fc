// SPDX-License-Identifier: Apache-2.0
// Calls through servers of every kind that call one another, some cancelled or out of time, and
// checks for each call that its runs have the parent they should, that every run ends, and that
// memory stays flat.
//
//   parent_stress [CALLS]   Ends with status 1 if anything was wrong.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <boost/fiber/fiber.hpp>

#include <weft/async/call.h>
#include <weft/async/context_completion_queue.h>
#include <weft/async/context_of.h>
#include <weft/async/fiber_server.h>
#include <weft/context/async.h>
#include <weft/context/bind.h>
#include <weft/context/spawn.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "echo.grpc.pb.h"

namespace {

using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;

std::atomic<long> g_calls{0};  // that arrived
std::atomic<long> g_wrong{0};
std::atomic<long> g_roots{0};
std::atomic<long> g_works{0};
std::atomic<long> g_sent{0};
std::atomic<long> g_cancelled{0};
std::atomic<long> g_out_of_time{0};
std::atomic<long> g_failed{0};  // in any other way
std::array<std::unique_ptr<Stub>, 4> g_stubs;

// Counts the runs that end.
class CountingExporter final : public weft::Exporter {
 public:
  void Export(weft::RunRecord&& record) noexcept override {
    const weft::RunRecord ended = std::move(record);
    if (!ended.end) return;
    const std::string_view name = ended.DisplayName();
    ++(name == "root" ? roots : name == "work" ? works : calls);
  }
  bool Flush(std::chrono::steady_clock::duration) noexcept override { return true; }
  bool Shutdown(std::chrono::steady_clock::duration) noexcept override { return true; }
  weft::ExporterStats Stats() const noexcept override { return {}; }

  std::atomic<long> roots{0};
  std::atomic<long> works{0};
  std::atomic<long> calls{0};
};

std::string CurrentOrder() { return std::string(weft::CurrentRun().context().dotted_order()); }

// A request says how deep its calls go, what is random about them, and which run made it.
struct Task {
  int depth = 0;
  std::uint32_t seed = 0;
  std::string caller;

  static Task Parse(const Message& message) {
    Task task;
    std::istringstream(message.text()) >> task.depth >> task.seed >> task.caller;
    return task;
  }
  // The `index`th call of whoever handles this one.
  Message Below(std::uint32_t index) const {
    ++g_sent;
    Message message;
    message.set_text(std::to_string(depth - 1) + " " +
                     std::to_string(seed * 1664525U + 1013904223U + index) + " " + CurrentOrder());
    return message;
  }
  Stub& Next() const { return *g_stubs[(seed >> 8) % g_stubs.size()]; }
  bool cancelled() const { return (seed >> 16) % 32 == 1; }
  void Limit(grpc::ClientContext& context) const {
    const bool tight = (seed >> 16) % 32 == 0;
    context.set_deadline(std::chrono::system_clock::now() +
                         (tight ? std::chrono::milliseconds(1) : std::chrono::seconds(60)));
  }
};

void Count(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return;
    case grpc::StatusCode::CANCELLED:
      ++g_cancelled;
      return;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      ++g_out_of_time;
      return;
    default:
      ++g_failed;
  }
}

// Whether `own` lies `levels` below `above`.
bool IsBelow(std::string_view own, std::string_view above, int levels) {
  return !above.empty() && own.starts_with(above) &&
         std::count(own.begin() + static_cast<std::ptrdiff_t>(above.size()), own.end(), '.') ==
             levels;
}

// Counts the call that arrived. Between its run and its caller's there is that of the client.
Task Arrived(const Message& message) {
  Task task = Task::Parse(message);
  g_wrong += !IsBelow(CurrentOrder(), task.caller, 2);
  ++g_calls;
  return task;
}
// After a step of its own was begun in a handler that began with `before`.
std::string BeginWork(const std::string& before) {
  ++g_works;
  std::string order = CurrentOrder();
  g_wrong += !IsBelow(order, before, 1);
  return order;
}
void CheckCurrent(const std::string& expected) { g_wrong += CurrentOrder() != expected; }

class SyncService final : public Echo::Service {
  grpc::Status Unary(grpc::ServerContext*, const Message* request, Message*) override {
    const Task task = Arrived(*request);
    if (task.depth == 0) return grpc::Status::OK;
    const std::string arrived = CurrentOrder();
    const weft::Run own("work");
    const std::string order = BeginWork(arrived);
    grpc::ClientContext context;
    task.Limit(context);
    std::jthread canceller;
    if (task.cancelled()) canceller = std::jthread([&context] { context.TryCancel(); });
    Message response;
    Count(task.Next().Unary(&context, task.Below(0), &response));
    CheckCurrent(order);
    return grpc::Status::OK;
  }
};

class CallbackService final : public Echo::CallbackService {
  struct Downstream {
    grpc::ClientContext context;
    Message request;
    Message response;
  };
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                  Message*) override {
    auto* const reactor = context->DefaultReactor();
    const Task task = Arrived(*request);
    if (task.depth == 0) {
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    const auto down = std::make_shared<Downstream>();
    down->request = task.Below(0);
    task.Limit(down->context);
    task.Next().async()->Unary(
        &down->context, &down->request, &down->response,
        weft::Bind([reactor, down, order = CurrentOrder()](const grpc::Status& status) {
          Count(status);
          CheckCurrent(order);
          reactor->Finish(grpc::Status::OK);
        }));
    if (task.cancelled()) down->context.TryCancel();
    return reactor;
  }
};

using Queue = weft::ContextServerCompletionQueue<void>;

class QueueCall {
 public:
  QueueCall(Echo::AsyncService& service, Queue& queue) : service_(service), queue_(queue) {
    service.RequestUnary(&context_, &request_, &writer_, queue.queue(), queue.queue(),
                         queue.Tag([this](bool ok) { Start(ok); }, weft::Context()));
  }

 private:
  void Start(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    new QueueCall(service_, queue_);
    const weft::ContextScope scope(weft::ContextOf(context_));
    const Task task = Arrived(request_);
    order_ = CurrentOrder();
    if (task.depth == 0) return Answer();
    task.Limit(client_context_);
    reader_ = task.Next().PrepareAsyncUnary(&client_context_, task.Below(0), queue_.queue());
    reader_->StartCall();
    const bool cancelled = task.cancelled();
    if (cancelled) client_context_.TryCancel();
    reader_->Finish(&response_, &status_, queue_.Tag([this](bool) {
      Count(status_);
      Answer();
    }));
  }
  void Answer() {
    CheckCurrent(order_);
    writer_.Finish(response_, grpc::Status::OK, queue_.Tag([this](bool) {
      CheckCurrent(order_);
      delete this;
    }));
  }

  Echo::AsyncService& service_;
  Queue& queue_;
  grpc::ServerContext context_;
  Message request_;
  grpc::ServerAsyncResponseWriter<Message> writer_{&context_};
  std::string order_;
  grpc::ClientContext client_context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader_;
  Message response_;
  grpc::Status status_;
};

// Asks two others at once.
grpc::Status HandleInFiber(grpc::ServerContext*, const Message* request, Message*) {
  const Task task = Arrived(*request);
  if (task.depth == 0) return grpc::Status::OK;
  const std::string arrived = CurrentOrder();
  const weft::Run own("work");
  const std::string order = BeginWork(arrived);
  const auto ask = [&](std::uint32_t index) {
    grpc::ClientContext context;
    task.Limit(context);
    boost::fibers::fiber canceller;
    if (task.cancelled()) canceller = weft::Spawn([&context] { context.TryCancel(); });
    Count(
        weft::CallUnary(task.Next(), &Stub::PrepareAsyncUnary, task.Below(index), context).status);
    if (canceller.joinable()) canceller.join();
    CheckCurrent(order);
  };
  auto first = weft::Async(ask, 1U);
  ask(2U);
  first.get();
  CheckCurrent(order);
  return grpc::Status::OK;
}

long ResidentKib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  }
  return 0;
}

// Of the whole process at each tenth of the calls, the last one after all of them.
class Progress {
 public:
  explicit Progress(long calls) : step_(calls / 10) {}

  void Show() {
    std::lock_guard lock(mutex_);
    if (g_calls < step_ * next_) return;
    const long resident = ResidentKib();
    std::printf("%9ld calls, %ld wrong, %ld MiB resident\n", g_calls.load(), g_wrong.load(),
                resident / 1024);
    std::fflush(stdout);
    if (next_ == 3) settled_ = resident;
    last_ = resident;
    ++next_;
  }
  long grown_kib() const { return last_ - settled_; }

 private:
  std::mutex mutex_;
  const long step_;
  long next_ = 1;
  long settled_ = 0;
  long last_ = 0;
};

// The KiB by which the process has grown after it had settled.
long CallUntil(long calls, const std::shared_ptr<weft::Tracer>& tracer) {
  Progress progress(calls);
  std::vector<std::jthread> callers;
  for (std::uint32_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (std::uint32_t i = 0; g_calls < calls; ++i) {
        const weft::Run root("root", {.tracer = tracer});
        ++g_roots;
        Task task{.depth = 5, .seed = (caller * 7919 + i) * 2654435761U, .caller = ""};
        task.seed |= 2U << 16;
        grpc::ClientContext context;
        Message response;
        Count(
            g_stubs[(task.seed >> 8) % g_stubs.size()]->Unary(&context, task.Below(0), &response));
        progress.Show();
      }
    });
  }
  callers.clear();
  return progress.grown_kib();
}

// AddressSanitizer keeps what was freed for a while.
#if defined(__SANITIZE_ADDRESS__)
constexpr long kMostGrowthKib = 400 * 1024;
#else
constexpr long kMostGrowthKib = 16 * 1024;
#endif

bool Verdict(const CountingExporter& exporter, long grown_kib) {
  const long arrived = g_calls;
  std::printf(
      "%ld calls sent, %ld arrived, %ld with a wrong parent; %ld cancelled, %ld out of time, "
      "%ld failed otherwise\n%ld runs ended; grown by %ld KiB\n",
      g_sent.load(), arrived, g_wrong.load(), g_cancelled.load(), g_out_of_time.load(),
      g_failed.load(), exporter.roots + exporter.works + exporter.calls, grown_kib);
  const bool all_ended =
      exporter.roots == g_roots && exporter.works == g_works && exporter.calls >= g_sent + arrived;
  if (!all_ended) std::puts("some runs did not end");
  return g_wrong == 0 && g_failed == 0 && g_cancelled > 0 && g_out_of_time > 0 && all_ended &&
         grown_kib < kMostGrowthKib;
}

}  // namespace

int main(int argc, char** argv) {
  const long calls = argc > 1 ? std::max(10L, std::atol(argv[1])) : 1'000'000;
  const auto exporter = std::make_shared<CountingExporter>();
  const auto tracer = weft::Tracer::Create({.exporters = {exporter}}).value();
  SyncService sync;
  CallbackService callback;
  Echo::AsyncService queue_service;
  Echo::AsyncService fiber_service;
  std::array<grpc::Service*, 4> services{&sync, &callback, &queue_service, &fiber_service};
  std::array<grpc::ServerBuilder, 4> builders;
  std::array<int, 4> ports{};
  for (std::size_t i = 0; i < services.size(); ++i) {
    builders[i].AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &ports[i]);
    builders[i].RegisterService(services[i]);
    if (!weft::InterceptServer(builders[i], {.tracer = tracer}).ok()) return 2;
  }
  const auto sync_server = builders[0].BuildAndStart();
  const auto callback_server = builders[1].BuildAndStart();
  Queue queue(builders[2].AddCompletionQueue());
  const auto queue_server = builders[2].BuildAndStart();
  weft::FiberServer fiber_server;
  fiber_server.Handle(&fiber_service, &Echo::AsyncService::RequestUnary, HandleInFiber);
  if (!fiber_server.Start(builders[3]).ok()) return 2;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    g_stubs[i] =
        Echo::NewStub(weft::CreateChannel("127.0.0.1:" + std::to_string(ports[i]),
                                          grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  }
  for (int i = 0; i < 64; ++i) new QueueCall(queue_service, queue);
  std::vector<std::jthread> pollers;
  for (int i = 0; i < 2; ++i) {
    pollers.emplace_back([&queue] { queue.Run([](void*, bool) {}); });
  }

  const long grown_kib = CallUntil(calls, tracer);

  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(10);
  sync_server->Shutdown(deadline);
  callback_server->Shutdown(deadline);
  fiber_server.Shutdown(deadline);
  queue_server->Shutdown(deadline);
  queue.Shutdown();
  pollers.clear();
  for (auto& stub : g_stubs) stub.reset();
  return Verdict(*exporter, grown_kib) ? 0 : 1;
}
