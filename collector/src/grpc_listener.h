// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "otlp/grpc_receiver.h"
#include "weft_receiver.h"

namespace weft::collector {

class TlsContext;

struct GrpcListenerOptions {
  std::string address;  ///< HOST:PORT; port 0 = any.
  std::uint64_t max_message_bytes = 64ull << 20;
  /// What all connections hold of messages that are not whole yet. Close to it they are read in
  /// small pieces, and then calls are ended until there is room.
  std::uint64_t max_memory_bytes = 768ull << 20;
  std::shared_ptr<TlsContext> tls{};  ///< Null: plain HTTP/2.
};

/// The gRPC port: weft's own service, OTLP, health and reflection.
///
/// Threads: any. Lifetime: BeginStop, FinishStop, then destroy.
class GrpcListener {
 public:
  /// Errors name the address.
  static absl::StatusOr<std::unique_ptr<GrpcListener>> Start(GrpcListenerOptions options,
                                                             WeftReceiverOptions receiver);
  ~GrpcListener();

  const std::string& address() const { return address_; }
  std::uint64_t inflight_bytes() const { return receiver_.inflight_bytes(); }
  std::uint64_t otlp_inflight_bytes() const { return otlp_.inflight_bytes(); }
  std::uint64_t streams() const { return receiver_.streams(); }

  /// What the health service answers, for "" and each service.
  void SetServing(bool serving);

  /// Takes no new calls; those that are under way get `patience` to be answered.
  void BeginStop(std::chrono::milliseconds patience);
  void FinishStop();

 private:
  class Server;
  explicit GrpcListener(WeftReceiverOptions receiver);

  std::string address_;
  OtlpReceiver otlp_;
  WeftReceiver receiver_;
  std::unique_ptr<Server> server_;
};

}  // namespace weft::collector
