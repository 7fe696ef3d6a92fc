// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <grpcpp/client_context.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/client_interceptor.h>

#include <weft/interceptors/interceptor_options.h>
#include <weft/tracing/tracer.h>

#include "rpc_collector.h"
#include "rpc_hand_tracing.h"

namespace bench {

/// What a row of the benchmark measures; rpc_benchmark.cc describes the words.
struct Setup {
  enum class Mode : std::uint8_t {
    kBare,
    kFloor,
    kHand,
    kFiltered,
    kOff,
    kUnsampled,
    kHeld,  // out of the sample, but held in case that its trace fails
    kHeaders,
    kNull,
    kExported,
    kUnpacked,
    kSent,
    kChain
  };
  enum class Api : std::uint8_t { kQueue, kSync, kCallback };

  Mode mode = Mode::kBare;
  Api api = Api::kQueue;
  bool stream = false;
  bool guarded = false;
  bool hooks = false;
  bool key = false;
  bool timed = false;
  std::vector<weft::ChainLink> server_middlewares;
  std::vector<weft::ChainLink> client_middlewares;

  /// Absent: a word that there is not.
  static std::optional<Setup> Parse(std::span<const std::string> words);
};

/// What traces the calls of a server and a channel.
class Instruments {
 public:
  /// `collector`: where mode `sent` sends to.
  explicit Instruments(Setup setup, const std::string& collector = {});

  const Setup& setup() const noexcept { return setup_; }
  /// Null unless calls are traced by hand.
  HandTracer* by_hand() const noexcept { return by_hand_.get(); }

  void Register(grpc::ServerBuilder& builder, grpc::Service* service) const;
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> Interceptors()
      const;
  /// Sets what the setup wants of a call.
  void Prepare(grpc::ClientContext& context) const;

  /// Waits until everything has been exported.
  void Flush();

 private:
  weft::InterceptorOptions Options(const std::vector<weft::ChainLink>& middlewares) const;

  Setup setup_;
  std::unique_ptr<AcknowledgingCollector> collector_;
  std::shared_ptr<weft::Tracer> tracer_;
  std::unique_ptr<HandTracer> by_hand_;
};

/// The span of a handler, where calls are traced by hand.
class HandlerSpan {
 public:
  void Start(const Instruments& instruments, const char* method, const char* kind,
             const grpc::ServerContextBase& context) {
    tracer_ = instruments.by_hand();
    if (tracer_ != nullptr) span_ = tracer_->StartServer("bench.Echo", method, kind, context);
  }
  void End(const grpc::Status& status) {
    if (tracer_ != nullptr) tracer_->End(std::move(span_), status);
  }

 private:
  HandTracer* tracer_ = nullptr;
  std::unique_ptr<HandSpan> span_;
};

}  // namespace bench
