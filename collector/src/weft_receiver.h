// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <weft/collector/ingest.h>

namespace grpc {
class Service;
}

namespace weft::collector {

struct WeftReceiverOptions {
  Ingest* ingest = nullptr;                               ///< Must outlive the receiver.
  std::function<bool(std::string_view key)> accepts_key;  ///< Of the metadata `x-api-key`.
  /// Of batches that are not answered yet: of all streams and calls, and of one stream.
  std::uint64_t max_inflight_bytes = 512ull << 20;
  std::uint64_t max_stream_bytes = 32ull << 20;
  std::uint64_t max_message_bytes = 64ull << 20;         ///< Without the call's compression.
  std::size_t max_batch_bytes = std::size_t{256} << 20;  ///< Of one batch that came compressed.
};

/// Receives runs by weft's gRPC service (weft/collector/v1/collector.proto).
///
/// A batch is answered once it is durable. Two things bound the memory of a stream: the window that
/// responses carry, and that nothing more is read from a stream whose unanswered bytes exceed its
/// share, so that HTTP/2's flow control stops a client that ignores the window.
///
/// Threads: gRPC's; answers are written from the log's thread.
/// Lifetime: Drain, shut the server down, then destroy.
class WeftReceiver {
 public:
  explicit WeftReceiver(WeftReceiverOptions options);
  ~WeftReceiver();

  /// For grpc::ServerBuilder::RegisterService.
  grpc::Service* service();

  /// Ends every stream once what it sent is answered; new batches are refused.
  void Drain();

  std::uint64_t inflight_bytes() const;
  std::uint64_t streams() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace weft::collector
