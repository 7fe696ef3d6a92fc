// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <utility>

#include <grpcpp/support/status.h>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What a handler threw, while the status of its call is handed to gRPC: so the interceptors know
/// what the peer is not told.
inline constexpr ContextKey<std::exception_ptr> kThrownKey;

/// What the peer is told. The text is gRPC's own for synchronous handlers.
inline constexpr char kThrownText[] = "Unexpected error in RPC handling";
inline grpc::Status ThrownStatus() { return {grpc::StatusCode::INTERNAL, kThrownText}; }

/// Sends ThrownStatus with `finish`, which hands it to gRPC before it returns.
template <typename Finish>
void FinishWith(std::exception_ptr thrown, Finish&& finish) {
  const ContextScope scope(Context::Current().With(kThrownKey, std::move(thrown)));
  std::forward<Finish>(finish)(ThrownStatus());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
