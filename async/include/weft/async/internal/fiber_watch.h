// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Sees a call of a FiberServer for the interceptors, which make it while gRPC accepts the call. A
/// hook of gRPC costs a call another pass through the queue for each batch of its operations.
///
/// Threads: that of the call's loop.
class FiberWatch {
 public:
  FiberWatch() = default;
  FiberWatch(const FiberWatch&) = delete;
  FiberWatch& operator=(const FiberWatch&) = delete;
  /// Ends the call, unless it has ended.
  virtual ~FiberWatch() = default;

  /// The call has arrived, with its request or with null. What `responder` sends is seen from now
  /// on.
  virtual void Begin(grpc::internal::ServerAsyncStreamingInterface& responder,
                     grpc::CompletionQueue* queue, void* request) noexcept = 0;

  /// What the responder starts next is a read.
  void ExpectRead() noexcept { reads_ = true; }
  virtual void Received(void* message) noexcept = 0;

  /// Something was not sent.
  virtual void SendFailed() noexcept = 0;
  /// gRPC is done with the call, or the peer has gone.
  virtual void PeerClosed() noexcept = 0;

 protected:
  bool reads_ = false;
};

/// By its type the interceptors know the calls of a FiberServer.
class FiberServerContext final : public grpc::ServerContext {
 public:
  /// FiberWatch::PeerClosed will be called.
  bool notified = false;
  std::unique_ptr<FiberWatch> watch;  // null: nobody sees the call, or hooks of gRPC do

  /// Of a context that a FiberServer made.
  static FiberWatch* WatchOf(grpc::ServerContext* context) noexcept {
    return static_cast<FiberServerContext*>(context)->watch.get();
  }
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
