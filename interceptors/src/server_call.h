// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include "call_data.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// What a server does about one call, whoever brings the events: hooks of gRPC
/// (server_interceptor.cc) or what stands around the application's handler (handled_call.cc).
class ServerCall {
 public:
  using Batch = grpc::experimental::InterceptorBatchMethods;
  using ReceivedMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;

  ServerCall(MethodRef method, std::byte* states, grpc::ServerContextBase* context) noexcept
      : data_(std::move(method), states), context_(context) {}
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;
  /// Ends the call if nothing did. The server context may be gone, so nothing looks at it.
  ~ServerCall();

  /// The request's metadata is there. Afterwards `ContextOf` finds the call's context.
  void Begin(ReceivedMetadata& metadata, ServerApi api) noexcept;
  /// A message; a single request before its handler runs.
  void Received(void* message) noexcept;

  /// What `batch` is about to send, except for a status.
  void Send(Batch& batch) noexcept;
  /// The status that `batch` is about to send; may change it.
  void SendStatus(Batch& batch) noexcept;

  /// gRPC knows how the call went for the peer. `cancelled`: as far as it may be asked after the
  /// status was sent; before it, the peer can only have gone.
  void PeerClosed(bool cancelled) noexcept;
  void SetCancelled() noexcept { data_.Set(CallData::kCancelled); }
  void End() noexcept;

  const Context& context() const noexcept { return data_.context; }
  const MethodDescription& method() const noexcept { return data_.method.info->description; }
  bool Is(CallData::Flag flag) const noexcept { return data_.Is(flag); }

  grpc::ServerContextBase* server_context() const noexcept { return context_; }
  ServerApi api() const noexcept { return data_.api; }
  void set_api(ServerApi api) noexcept { data_.api = api; }

 private:
  void Reject() noexcept;
  void CancelRejected() noexcept;
  void EndRejected() noexcept;

  CallData data_;
  grpc::ServerContextBase* context_;
  // Written before kStatusSent and kPeerClosed are set, read after.
  grpc::Status status_;
  std::chrono::system_clock::time_point end_;
  std::optional<std::chrono::system_clock::time_point> closed_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
