// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/middleware_suite.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>

#include <weft/interceptors/interceptor_stats.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/ping_client.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {
namespace testing {
namespace {

using std::chrono::milliseconds;

constexpr int kFlavours = 6;
constexpr int kKinds = 4;
constexpr int kEndings = static_cast<int>(CallEnding::kConcurrent) + 1;
constexpr int kThreads = 8;
constexpr int kCallsOfThread = 10;
constexpr char kTestRun[] = "test";
constexpr milliseconds kLongestTime{5000};

// AddressSanitizer reports the stack of a fiber that an exception unwinds.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kFibersMayThrow = false;
#else
constexpr bool kFibersMayThrow = true;
#endif

/// Stands beside the middleware in its chains, and counts what both are told.
class Probe final : public Middleware {
 public:
  CallStateType call_state() const noexcept override { return CallStateType::Of<State>(); }
  void OnStart(Call& call) noexcept override {
    ++started(call.side());
    call.state<State>().live = live_;
  }
  void OnEnd(Call& call, const CallReport& report) noexcept override {
    ++ended(call.side());
    if (++call.state<State>().ends > 1) ++repeated;
    if (call.side() == CallSide::kServer && !report.rejected_by.empty()) {
      const std::lock_guard lock(mutex_);
      rejected_by_ = report.rejected_by;
    }
  }

  std::atomic<int>& started(CallSide side) { return started_[static_cast<int>(side)]; }
  std::atomic<int>& ended(CallSide side) { return ended_[static_cast<int>(side)]; }
  long live() const noexcept { return live_.use_count() - 1; }
  std::string rejected_by() const {
    const std::lock_guard lock(mutex_);
    return rejected_by_;
  }

  std::atomic<int> repeated{0};

 private:
  struct State {
    std::shared_ptr<int> live;
    int ends = 0;
  };

  std::atomic<int> started_[2] = {0, 0};
  std::atomic<int> ended_[2] = {0, 0};
  std::shared_ptr<int> live_ = std::make_shared<int>();
  mutable std::mutex mutex_;
  std::string rejected_by_;
};

/// One case.
class Trial {
 public:
  /// `time` is that of a call whose deadline passes.
  Trial(MiddlewareUnderTest tested, const MiddlewareCase& one, milliseconds time)
      : tested_(std::move(tested)), case_(one), time_(time) {}

  std::vector<std::string> Run() {
    if (tested_.middleware == nullptr) return {"there is no middleware"};
    if (!Serve()) return std::move(problems_);
    {
      const weft::Run test(kTestRun, {.tracer = tracer_});
      Happen();
    }
    handled_ = server_->progress().handled;
    channel_.reset();
    server_->Shutdown();  // all server calls end before
    CheckEnds();
    CheckStats();
    CheckVerdict();
    if (case_.ending != CallEnding::kConcurrent) CheckRuns();
    return std::move(problems_);
  }

  bool reached_handler() const { return handled_ > 0; }

 private:
  template <typename... Parts>
  void Require(bool holds, const Parts&... parts) {
    if (holds) return;
    std::ostringstream text;
    (text << ... << parts);
    const std::lock_guard lock(mutex_);
    problems_.push_back(text.str());
  }

  InterceptorOptions Chain(bool with_tested) const {
    InterceptorOptions options{.tracer = tracer_, .middlewares = {outer_}};
    if (with_tested) options.middlewares.emplace_back(tested_.middleware);
    options.middlewares.emplace_back(inner_);
    return options;
  }

  bool Serve() {
    auto tracer = Tracer::Create({.open_run_delay = std::chrono::hours(1), .exporters = {runs_}});
    if (tracer.ok()) tracer_ = *std::move(tracer);
    auto server = PingServer::Start(
        {.flavour = case_.flavour, .interceptors = Chain(tested_.on_servers), .workers = kThreads});
    Require(server.ok(), "the server does not start: ", std::string(server.status().message()));
    if (!server.ok()) return false;
    server_ = *std::move(server);
    channel_ = server_->Connect(Chain(tested_.on_clients));
    return true;
  }

  void AddMetadata(grpc::ClientContext& context, const char* asked) const {
    context.AddMetadata(behaviour::kKey, asked);
    const bool rejected = case_.ending == CallEnding::kRejected;
    for (const auto& [key, value] : rejected ? tested_.rejected : tested_.metadata) {
      context.AddMetadata(key, value);
    }
  }

  grpc::Status Call(const char* asked) {
    grpc::ClientContext context;
    AddMetadata(context, asked);
    if (case_.ending == CallEnding::kDeadline) {
      context.set_deadline(std::chrono::system_clock::now() + time_);
    }
    return Ping(ClientFlavour::kSync, case_.kind, channel_, context);
  }

  /// A call to a handler that waits; `end(context)` ends it from another thread.
  template <typename F>
  grpc::Status CallAndEnd(F&& end) {
    grpc::ClientContext context;
    AddMetadata(context, behaviour::kWait);
    std::thread ender([&] {
      Require(server_->progress().WaitForHandler(), "the call reached no handler");
      end(context);
    });
    grpc::Status status = Ping(ClientFlavour::kSync, case_.kind, channel_, context);
    ender.join();
    return status;
  }

  void Drop() {
    grpc::ClientContext context;
    AddMetadata(context, behaviour::kWait);
    DropPing(case_.kind, channel_, context, [this] {
      Require(server_->progress().WaitForHandler(), "the call reached no handler");
    });
  }

  void CallConcurrently() {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([this] {
        for (int i = 0; i < kCallsOfThread; ++i) RequireOk(Call(behaviour::kOk));
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void RequireOk(const grpc::Status& status) {
    Require(status.ok(), "a call failed that ends well without the middleware: ",
            StatusCodeName(status.error_code()), ": ", status.error_message());
  }
  void RequireFailed(const grpc::Status& status) {
    Require(!status.ok(), "a call ended with OK that does not end well");
  }

  void Happen() {
    switch (case_.ending) {
      case CallEnding::kOk:
        return RequireOk(Call(behaviour::kOk));
      case CallEnding::kError:
        return RequireFailed(Call(behaviour::kError));
      case CallEnding::kErrorAfterFirst:
        return RequireFailed(Call(behaviour::kErrorAfterFirst));
      case CallEnding::kClientCancel:
        return RequireFailed(CallAndEnd([](grpc::ClientContext& context) { context.TryCancel(); }));
      case CallEnding::kServerCancel:
        return RequireFailed(Call(behaviour::kCancel));
      case CallEnding::kDeadline:
        return RequireFailed(Call(behaviour::kWait));
      case CallEnding::kDropped:
        return Drop();
      case CallEnding::kThrow:
        return RequireFailed(Call(behaviour::kThrow));
      case CallEnding::kShutdown:
        return RequireFailed(CallAndEnd([this](auto& /*context*/) { server_->Shutdown(); }));
      case CallEnding::kUnknownMethod: {
        grpc::ClientContext context;
        AddMetadata(context, behaviour::kOk);
        return RequireFailed(PingMethod("/weft.ping.v1.Ping/Nope", channel_, context));
      }
      case CallEnding::kRejected:
        return RequireFailed(Call(behaviour::kOk));
      case CallEnding::kConcurrent:
        return CallConcurrently();
    }
  }

  void CheckEnds() {
    const int calls = case_.ending == CallEnding::kConcurrent ? kThreads * kCallsOfThread : 1;
    for (Probe* const probe : {outer_.get(), inner_.get()}) {
      for (const CallSide side : {CallSide::kClient, CallSide::kServer}) {
        const char* const name = side == CallSide::kClient ? "client" : "server";
        const int started = probe->started(side);
        Require(started == calls, name, ": ", started, " of ", calls, " calls were started");
        Require(probe->ended(side) == started, name, ": OnEnd came ", int{probe->ended(side)},
                " times for ", started, " calls");
      }
      Require(probe->repeated == 0, "OnEnd came more than once for a call");
      Require(probe->live() == 0, "states of calls were left behind");
    }
  }

  void CheckStats() {
    const InterceptorStats after = GetInterceptorStats();
    Require(after.hook_failures == before_.hook_failures, "a hook threw");
    for (const auto& [reason, count] : after.dropped_headers) {
      const auto found = before_.dropped_headers.find(reason);
      Require(found != before_.dropped_headers.end() && found->second == count,
              "metadata was added that cannot be sent: ", reason);
    }
  }

  void CheckVerdict() {
    const std::string by = outer_->rejected_by();
    if (case_.ending != CallEnding::kRejected) {
      return Require(by.empty(), "a call was rejected by \"", by, '"');
    }
    Require(tested_.middleware->may_reject(), "it rejects, but may_reject() is false");
    Require(by == tested_.middleware->name(), "rejected by \"", by, "\" instead of \"",
            tested_.middleware->name(), '"');
    Require(handled_ == 0, "a rejected call reached its handler");
  }

  void CheckRuns() {
    const RunTree tree = runs_->Tree();
    const std::vector<RunInTree> clients = tree.FindRun(kTestRun).Children();
    Require(clients.size() == 1, "not one run of a client:\n", tree.ToString());
    if (clients.size() != 1) return;
    Require(clients[0].Children().size() == 1, "the client's run has not the server's below it:\n",
            tree.ToString());
  }

  const MiddlewareUnderTest tested_;
  const MiddlewareCase case_;
  const milliseconds time_;
  const InterceptorStats before_ = GetInterceptorStats();
  const std::shared_ptr<InMemoryExporter> runs_ = std::make_shared<InMemoryExporter>();
  const std::shared_ptr<Probe> outer_ = std::make_shared<Probe>();
  const std::shared_ptr<Probe> inner_ = std::make_shared<Probe>();
  std::shared_ptr<Tracer> tracer_;
  std::unique_ptr<PingServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  int handled_ = 0;
  std::mutex mutex_;
  std::vector<std::string> problems_;
};

bool IsGeneric(ServerFlavour flavour) {
  return flavour == ServerFlavour::kGenericCq || flavour == ServerFlavour::kGenericCallback;
}

bool IsPossible(const MiddlewareCase& one) {
  switch (one.ending) {
    case CallEnding::kThrow:
      return kFibersMayThrow || one.flavour != ServerFlavour::kFiber;
    case CallEnding::kDropped:
      return one.kind != RpcKind::kUnary;
    case CallEnding::kUnknownMethod:  // A generic service has every method.
      return !IsGeneric(one.flavour) && one.kind == RpcKind::kUnary;
    default:
      return true;
  }
}

}  // namespace

std::string MiddlewareCase::Name() const {
  constexpr const char* kNames[kEndings] = {
      "Ok",      "Error", "ErrorAfterFirst", "ClientCancel",  "ServerCancel", "Deadline",
      "Dropped", "Throw", "Shutdown",        "UnknownMethod", "Rejected",     "Concurrent"};
  std::ostringstream name;
  name << flavour << '_' << RpcKindName(kind) << '_' << kNames[static_cast<int>(ending)];
  return name.str();
}

std::vector<MiddlewareCase> MiddlewareCases() {
  std::vector<MiddlewareCase> cases;
  for (int i = 0; i < kFlavours * kKinds * kEndings; ++i) {
    const MiddlewareCase one{.flavour = static_cast<ServerFlavour>(i / kEndings / kKinds),
                             .kind = static_cast<RpcKind>(i / kEndings % kKinds),
                             .ending = static_cast<CallEnding>(i % kEndings)};
    if (IsPossible(one)) cases.push_back(one);
  }
  return cases;
}

std::vector<std::string> CheckMiddleware(const MakeMiddleware& make, const MiddlewareCase& one) {
  // On a busy machine the time may be over before the call is at its handler.
  for (milliseconds time{200};; time *= 5) {
    Trial trial(make(), one, time);
    std::vector<std::string> problems = trial.Run();
    const bool too_early = one.ending == CallEnding::kDeadline && !trial.reached_handler();
    if (!too_early || time >= kLongestTime) return problems;
  }
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
