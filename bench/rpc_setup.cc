// SPDX-License-Identifier: Apache-2.0
#include "rpc_setup.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/concurrency.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/deadline.h>
#include <weft/interceptors/forward_metadata.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/interceptors/logging.h>
#include <weft/interceptors/metrics.h>
#include <weft/interceptors/rate_limit.h>
#include <weft/interceptors/real_peer.h>
#include <weft/tracing/collector_exporter.h>

namespace bench {
namespace {

namespace ge = grpc::experimental;
using Mode = Setup::Mode;

// ---- what any interceptor that sends and reads two such headers costs

class FloorInterceptor final : public ge::Interceptor {
 public:
  explicit FloorInterceptor(bool client) noexcept : client_(client) {}

 private:
  void Intercept(ge::InterceptorBatchMethods* batch) override {
    using Hook = ge::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA) &&
        batch->GetSendInitialMetadata() != nullptr && client_) {
      batch->GetSendInitialMetadata()->emplace(
          "langsmith-trace", "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001");
      batch->GetSendInitialMetadata()->emplace("baggage", "langsmith-project=default");
    }
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA) && !client_) {
      const auto* metadata = batch->GetRecvInitialMetadata();
      if (metadata->find("langsmith-trace") == metadata->end()) std::abort();
      if (metadata->find("baggage") == metadata->end()) std::abort();
    }
    batch->Proceed();
  }

  const bool client_;
};

class FloorClientFactory final : public ge::ClientInterceptorFactoryInterface {
  ge::Interceptor* CreateClientInterceptor(ge::ClientRpcInfo*) override {
    return new FloorInterceptor(true);
  }
};

class FloorServerFactory final : public ge::ServerInterceptorFactoryInterface {
  ge::Interceptor* CreateServerInterceptor(ge::ServerRpcInfo*) override {
    return new FloorInterceptor(false);
  }
};

template <typename Factory, typename Interface>
std::vector<std::unique_ptr<Interface>> One() {
  std::vector<std::unique_ptr<Interface>> factories;
  factories.push_back(std::make_unique<Factory>());
  return factories;
}

class NullExporter final : public weft::Exporter {
 public:
  void Export(weft::RunRecord&& record) noexcept override {
    const weft::RunRecord dropped = std::move(record);
  }
  bool Flush(std::chrono::steady_clock::duration) noexcept override { return true; }
  bool Shutdown(std::chrono::steady_clock::duration) noexcept override { return true; }
  weft::ExporterStats Stats() const noexcept override { return {}; }
};

// ---- words

constexpr char kKeyHeader[] = "x-api-key";
constexpr char kKey[] = "bench-0123456789abcdef";

const std::map<std::string, Mode, std::less<>> kModes = {
    {"bare", Mode::kBare},         {"floor", Mode::kFloor},       {"hand", Mode::kHand},
    {"filtered", Mode::kFiltered}, {"off", Mode::kOff},           {"unsampled", Mode::kUnsampled},
    {"held", Mode::kHeld},         {"headers", Mode::kHeaders},   {"null", Mode::kNull},
    {"exported", Mode::kExported}, {"unpacked", Mode::kUnpacked}, {"sent", Mode::kSent},
    {"chain", Mode::kChain}};

using MakeMiddleware = std::shared_ptr<weft::Middleware> (*)();
const std::map<std::string, MakeMiddleware, std::less<>> kMiddlewares = {
    {"auth",
     [] {
       return weft::Auth(weft::ApiKey({{kKey, {.name = "bench"}}}, kKeyHeader));
     }},
    {"concurrency", [] { return weft::Concurrency({.limit = 1000}); }},
    {"deadline", [] { return weft::Deadline(); }},
    {"forward", [] { return weft::ForwardMetadata({kKeyHeader}); }},
    {"logging",
     [] {
       return weft::Logging([](weft::LogLevel, std::string_view line) {
         asm volatile("" : : "r"(line.data()) : "memory");
       });
     }},
    {"metrics", [] { return weft::Metrics(std::make_shared<weft::MetricsRegistry>()); }},
    {"rate-limit", [] { return weft::RateLimit({.per_second = 1e9}); }},
    {"real-peer", [] { return weft::RealPeer({.hops = 1}).value(); }}};

bool ParseWord(std::string_view word, Setup& setup) {
  const auto middleware = [&](std::string_view prefix, std::vector<weft::ChainLink>& chain) {
    if (!word.starts_with(prefix)) return false;
    const auto found = kMiddlewares.find(word.substr(prefix.size()));
    if (found == kMiddlewares.end()) return false;
    chain.emplace_back(found->second());
    return true;
  };
  const std::map<std::string_view, std::function<void()>> words = {
      {"stream", [&] { setup.stream = true; }},
      {"sync", [&] { setup.api = Setup::Api::kSync; }},
      {"callback", [&] { setup.api = Setup::Api::kCallback; }},
      {"guarded", [&] { setup.guarded = true; }},
      {"hooks", [&] { setup.hooks = true; }},
      {"key", [&] { setup.key = true; }},
      {"timed", [&] { setup.timed = true; }},
  };
  if (const auto found = words.find(word); found != words.end()) {
    found->second();
    return true;
  }
  return middleware("server:", setup.server_middlewares) ||
         middleware("client:", setup.client_middlewares);
}

}  // namespace

std::optional<Setup> Setup::Parse(std::span<const std::string> words) {
  if (words.empty()) return std::nullopt;
  const auto mode_word = kModes.find(words[0]);
  if (mode_word == kModes.end()) return std::nullopt;
  Setup setup;
  setup.mode = mode_word->second;
  for (const std::string& word : words.subspan(1)) {
    if (!ParseWord(word, setup)) return std::nullopt;
  }
  return setup;
}

Instruments::Instruments(Setup setup, const std::string& collector) : setup_(std::move(setup)) {
  const Mode mode = setup_.mode;
  if (mode == Mode::kHand) by_hand_ = std::make_unique<HandTracer>();
  if (mode == Mode::kBare || mode == Mode::kFloor || mode == Mode::kHand || mode == Mode::kChain) {
    return;
  }
  weft::TracerOptions options{.enabled = mode != Mode::kOff};
  if (mode == Mode::kUnsampled || mode == Mode::kHeld) {
    options.sampling_rate = 0.0;
    options.error_promotion = mode == Mode::kHeld;
  }
  if (mode == Mode::kExported || mode == Mode::kUnpacked) {
    collector_ = std::make_unique<AcknowledgingCollector>(mode == Mode::kUnpacked);
    options.exporters.push_back(
        weft::CollectorExporter::Create({.target = collector_->target()}).value());
  } else if (mode == Mode::kSent) {
    options.exporters.push_back(weft::CollectorExporter::Create({.target = collector}).value());
  } else {
    options.exporters.push_back(std::make_shared<NullExporter>());
  }
  tracer_ = weft::Tracer::Create(std::move(options)).value();
}

weft::InterceptorOptions Instruments::Options(
    const std::vector<weft::ChainLink>& middlewares) const {
  weft::InterceptorOptions options{
      .tracer = tracer_, .middlewares = middlewares, .guard_services = !setup_.hooks};
  if (setup_.mode == Mode::kFiltered) options.selector = weft::Selector("/nothing/*");
  if (setup_.mode == Mode::kHeaders) {
    options.tracing.headers_only = weft::Selector();
    options.tracing.server_runs = false;
  }
  return options;
}

void Instruments::Register(grpc::ServerBuilder& builder, grpc::Service* service) const {
  const auto check = [](const absl::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  };
  if (setup_.guarded) {
    check(weft::RegisterService(builder, service));
  } else {
    builder.RegisterService(service);
  }
  if (setup_.mode == Mode::kFloor) {
    builder.experimental().SetInterceptorCreators(
        One<FloorServerFactory, ge::ServerInterceptorFactoryInterface>());
  } else if (setup_.mode != Mode::kBare && setup_.mode != Mode::kHand) {
    check(weft::InterceptServer(builder, Options(setup_.server_middlewares)));
  }
}

std::vector<std::unique_ptr<ge::ClientInterceptorFactoryInterface>> Instruments::Interceptors()
    const {
  if (setup_.mode == Mode::kBare || setup_.mode == Mode::kHand) return {};
  if (setup_.mode == Mode::kFloor) {
    return One<FloorClientFactory, ge::ClientInterceptorFactoryInterface>();
  }
  return weft::ClientInterceptors(Options(setup_.client_middlewares));
}

void Instruments::Prepare(grpc::ClientContext& context) const {
  if (setup_.key) context.AddMetadata(kKeyHeader, kKey);
  if (setup_.timed) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  }
}

void Instruments::Flush() {
  if (tracer_ == nullptr) return;
  if (!tracer_->Flush(std::chrono::seconds(60))) std::fputs("not flushed in time\n", stderr);
  for (const weft::ExporterStats& stats : tracer_->Stats().exporters) {
    if (stats.dropped() != 0) std::fprintf(stderr, "%lu runs dropped\n", stats.dropped());
  }
}

}  // namespace bench
