// SPDX-License-Identifier: Apache-2.0
// Threads that make calls of every kind with every client, which end in every way, to servers of
// every kind that shut down at random moments. Every call that began must end once on each side and
// leave nothing; a call that nothing disturbs must not fail because of its neighbours on the
// connection. Some of these carry more trace headers and metadata than gRPC takes: it would close
// the connection over them, so weft must drop them.
//
//   mixed_calls_stress [CALLS_PER_THREAD [FLAVOURS]]
//     With the first FLAVOURS of ServerFlavour, or all. Ends with status 1 if anything was wrong.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/interceptor_stats.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "echo_client.h"
#include "echo_server.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

constexpr int kThreads = 8;
constexpr int kFlavours = 6;
// Of calls that are not meant to expire. A synchronous client has been seen to wait for ever in the
// Read of a stream whose server had gone, twice in some hundred runs under AddressSanitizer: why is
// not known.
constexpr std::chrono::milliseconds kPatience{60'000};

std::atomic<long> g_wrong{0};
std::atomic<long> g_lost{0};  // calls that nothing but kPatience has ended
std::array<std::atomic<long>, 17> g_codes{};

/// Rejects calls that say so.
class RejectSome : public RejectAll {
 public:
  Verdict Admit(Call& call, const MetadataView& metadata) noexcept override {
    return metadata.Get(kBehaviour) == "reject" ? RejectAll::Admit(call, metadata) : Verdict{};
  }
};

/// Wants to send more than gRPC takes, everywhere.
class Greedy : public Middleware {
 public:
  void OnSendMetadata(Call& /*call*/, MetadataWriter& metadata) noexcept override { Add(metadata); }
  void OnSendTrailers(Call& /*call*/, MetadataWriter& metadata) noexcept override { Add(metadata); }

 private:
  void Add(MetadataWriter& metadata) noexcept {
    if (++calls_ % 8 == 0 && metadata.Add("big", big_)) ++g_wrong;
  }
  const std::string big_ = std::string(kBigMetadata, 'x');
  std::atomic<unsigned> calls_{0};
};

/// The server of the moment. Its number changes before it shuts down.
class Stage {
 public:
  explicit Stage(std::shared_ptr<Tracer> tracer) : tracer_(std::move(tracer)) {}

  struct Place {
    std::shared_ptr<grpc::Channel> channel;
    long number;
  };

  /// Waits while there is none.
  Place Now() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return channel_ != nullptr; });
    return {channel_, number_};
  }
  const std::shared_ptr<Tracer>& tracer() const { return tracer_; }
  long number() const {
    const std::lock_guard lock(mutex_);
    return number_;
  }

  /// Serves until `calls` more have been counted, or all have.
  void Play(Flavour flavour, bool guarded, long calls) {
    EchoServer server(flavour,
                      {.tracer = tracer_,
                       .middlewares = {balance, greedy_, std::make_shared<RejectSome>()},
                       .guard_services = guarded},
                      /*workers=*/kThreads, guarded);
    {
      std::unique_lock lock(mutex_);
      channel_ = CreateChannel(server.address(), grpc::InsecureChannelCredentials(),
                               {.tracer = tracer_, .middlewares = {balance, greedy_}});
      changed_.notify_all();
      const long until = counted_ + calls;
      changed_.wait(lock, [&] { return counted_ >= until || finished_ == kThreads; });
      channel_.reset();
      ++number_;
    }
    server.Shutdown();
  }

  void Count() {
    const std::lock_guard lock(mutex_);
    ++counted_;
    changed_.notify_all();
  }
  void Finish() {
    const std::lock_guard lock(mutex_);
    ++finished_;
    changed_.notify_all();
  }
  bool finished() const {
    const std::lock_guard lock(mutex_);
    return finished_ == kThreads;
  }

  std::shared_ptr<Balance> balance = std::make_shared<Balance>();

 private:
  const std::shared_ptr<Tracer> tracer_;
  const std::shared_ptr<Greedy> greedy_ = std::make_shared<Greedy>();
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<grpc::Channel> channel_;
  long number_ = 0;
  long counted_ = 0;
  int finished_ = 0;
};

/// Cancels the calls of others.
class Canceller {
 public:
  void Register(int thread, grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    contexts_[static_cast<std::size_t>(thread)] = context;
  }
  void CancelOneOf(std::size_t thread) {
    const std::lock_guard lock(mutex_);
    if (contexts_[thread % kThreads] != nullptr) contexts_[thread % kThreads]->TryCancel();
  }

 private:
  std::mutex mutex_;
  std::array<grpc::ClientContext*, kThreads> contexts_{};
};

void CallOnce(Stage& stage, Canceller& canceller, int thread, std::mt19937& random) {
  constexpr const char* kBehaviours[] = {kOk,
                                         kOk,
                                         kOk,
                                         kOk,
                                         kOk,
                                         kOk,
                                         kError,
                                         kWait,
                                         kCancel,
                                         kWait,
                                         "reject",
                                         kWait,
                                         kErrorAfterFirst};
  const auto kind = static_cast<RpcKind>(random() % 4);
  const auto api = static_cast<ClientApi>(random() % 3);
  const std::string behaviour = kBehaviours[random() % std::size(kBehaviours)];
  const unsigned trouble = random() % 16;
  const bool waits = behaviour == kWait || behaviour == kCancel;
  const Stage::Place place = stage.Now();

  RunOptions options{.tracer = stage.tracer()};
  if (trouble == 0) options.metadata = {{"big", std::string(2 * kBigMetadata, 'x')}};
  const Run run("caller", options);
  grpc::ClientContext context;
  context.AddMetadata(kBehaviour, behaviour);
  if (trouble == 1) context.TryCancel();
  const bool expires = waits || trouble == 2;
  const auto begin = std::chrono::system_clock::now();
  context.set_deadline(begin + (expires ? std::chrono::milliseconds(random() % 8) : kPatience));
  const bool cancellable = trouble == 3 || waits;
  if (cancellable) canceller.Register(thread, &context);
  const grpc::Status status = CallEcho(api, kind, place.channel, context);
  if (cancellable) canceller.Register(thread, nullptr);
  if (trouble == 4) canceller.CancelOneOf(random());
  ++g_codes[static_cast<std::size_t>(status.error_code())];
  if (std::chrono::system_clock::now() - begin >= kPatience) ++g_lost;
  const bool undisturbed =
      behaviour == kOk && (trouble == 0 || trouble > 3) && stage.number() == place.number;
  if (undisturbed && !status.ok() && ++g_wrong <= 10) {
    std::fprintf(stderr, "mixed_calls_stress: hurt by others: %d %s\n", status.error_code(),
                 status.error_message().c_str());
  }
}

void Require(bool holds, const char* what) {
  if (holds) return;
  ++g_wrong;
  std::fprintf(stderr, "mixed_calls_stress: %s\n", what);
}

void CheckEnds(const InterceptorStats& before, const Balance& balance) {
  const InterceptorStats after = GetInterceptorStats();
  Require(after.client_started - before.client_started == after.client_ended - before.client_ended,
          "calls of clients did not end");
  Require(after.server_started - before.server_started == after.server_ended - before.server_ended,
          "calls of servers did not end");
  Require(balance.client.started == balance.client.ended, "clients: not one end for each start");
  Require(balance.server.started == balance.server.ended, "servers: not one end for each start");
  Require(balance.repeated_ends == 0, "calls ended twice");
  Require(balance.live() == 0, "states of calls were not destroyed");
  Require(after.hook_failures == before.hook_failures, "hooks failed");
  Require(after.dropped_headers.count("no-room") > 0, "nothing was too big");
}

int Main(long calls_per_thread, long flavours) {
  const InterceptorStats before = GetInterceptorStats();
  Stage stage(Tracer::Create({.exporters = {}}).value());
  Canceller canceller;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (long i = 0; i < calls_per_thread; ++i) {
        CallOnce(stage, canceller, t, random);
        stage.Count();
      }
      stage.Finish();
    });
  }
  std::mt19937 random(20261121);
  long servers = 0;
  for (; !stage.finished(); ++servers) {
    const long share = calls_per_thread * kThreads / 60 + 1;
    stage.Play(static_cast<Flavour>(servers % flavours), random() % 2 == 0,
               static_cast<long>(random() % static_cast<unsigned long>(2 * share)) + 1);
  }
  for (std::thread& thread : threads) thread.join();
  CheckEnds(before, *stage.balance);
  std::ostringstream codes;
  for (std::size_t i = 0; i < g_codes.size(); ++i) {
    if (g_codes[i] > 0) {
      codes << ' ' << StatusCodeName(static_cast<grpc::StatusCode>(i)) << '=' << g_codes[i];
    }
  }
  std::printf("%d threads, %ld calls each, %ld servers;%s; %ld lost, %ld wrong\n", kThreads,
              calls_per_thread, servers, codes.str().c_str(), g_lost.load(), g_wrong.load());
  return g_wrong == 0 && g_codes[0] > 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::echo_test

// gRPC 1.51 leaks a server that shuts down while a connection to it is being set up, which happens
// here in one of some hundred shutdowns. Leaks of calls are looked for by the tests of their
// endings.
extern "C" const char* __asan_default_options();  // NOLINT(bugprone-reserved-identifier)
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

int main(int argc, char** argv) {
  return weft::echo_test::Main(argc > 1 ? std::atol(argv[1]) : 100'000,
                               argc > 2 ? std::atol(argv[2]) : weft::echo_test::kFlavours);
}
