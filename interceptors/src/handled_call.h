// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/functional/function_ref.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_interceptor.h>

#include <weft/async/internal/fiber_watch.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

// Calls that are seen by a handler around the application's own, and not by a hook. A hook costs a
// call another pass through a queue for each of its batches, whatever it does; a handler costs what
// it does.

/// A call that was left to its handler.
struct HandledMethod {
  MethodRef method;  ///< Null `info`: it was not.
  /// Whether all middlewares say OnlyReceives.
  bool only_receives = false;
};

/// The interceptor factory makes nothing for this call: the handler that gRPC runs next on this
/// thread takes it over with TakeHandled.
void LeaveToHandler(const grpc::experimental::ServerRpcInfo& call, HandledMethod method) noexcept;
HandledMethod TakeHandled(const grpc::experimental::ServerRpcInfo* call) noexcept;

/// Runs a call's handler, and the middlewares around it. `run` is what gRPC would have run with
/// `call`, and is given one in its place that shows what the handler sends.
///
/// Only for handlers that do not read their requests as a stream: nothing tells here how a read
/// ended.
using HandlerParameter = grpc::internal::MethodHandler::HandlerParameter;
void RunHandled(MethodRef method, ServerApi api, const HandlerParameter& call,
                absl::FunctionRef<void(const HandlerParameter&)> run);

/// The same for a call for which all middlewares say OnlyReceives; for all handlers.
void RunReceived(MethodRef method, ServerApi api, const HandlerParameter& call,
                 absl::FunctionRef<void(const HandlerParameter&)> run);

/// A call of a FiberServer, whatever its kind: what stands around the application's handler there.
void LeaveToFiber(MethodRef method, FiberServerContext& context) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
