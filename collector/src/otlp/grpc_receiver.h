// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include <weft/collector/ingest.h>

namespace grpc {
class Service;
}

namespace weft::collector {

struct OtlpReceiverOptions {
  Ingest* ingest = nullptr;                               ///< Must outlive the receiver.
  std::function<bool(std::string_view key)> accepts_key;  ///< Of `x-api-key`, or a bearer token.
  std::uint64_t max_inflight_bytes = 512ull << 20;        ///< Of calls that are not answered yet.
  std::uint64_t max_message_bytes = 64ull << 20;          ///< Without the call's compression.
};

/// Receives spans by OpenTelemetry's TraceService (OTLP over gRPC).
///
/// A request is not made into objects: its bytes are checked, go to the log, and are answered once
/// they are durable. The metadata `langsmith-project` names the project of spans that name none.
///
/// Threads: gRPC's; answers are written from the log's thread.
/// Lifetime: Drain, shut the server down, then destroy.
class OtlpReceiver {
 public:
  /// The service's full name.
  static constexpr char kService[] = "opentelemetry.proto.collector.trace.v1.TraceService";

  explicit OtlpReceiver(OtlpReceiverOptions options);
  ~OtlpReceiver();

  /// For grpc::ServerBuilder::RegisterService.
  grpc::Service* service();

  /// New requests are refused.
  void Drain();

  /// After Drain: waits until no request came for a moment, a second at most. Who calls without a
  /// pause has been refused then, and the server may be shut down.
  void AwaitQuiet() const;

  std::uint64_t inflight_bytes() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace weft::collector
