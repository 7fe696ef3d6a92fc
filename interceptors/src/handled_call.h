// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/functional/function_ref.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_interceptor.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

// Calls that are seen by a handler around the application's own, and not by a hook. A hook costs a
// call another pass through a queue for each of its batches, whatever it does; a handler costs what
// it does.

/// The interceptor factory makes nothing for this call: the handler that gRPC runs next on this
/// thread takes it over with TakeHandled.
void LeaveToHandler(const grpc::experimental::ServerRpcInfo& call, MethodRef method) noexcept;

/// The method of a call that was left to its handler; null `info`: it was not.
MethodRef TakeHandled(const grpc::experimental::ServerRpcInfo* call) noexcept;

/// Runs a call's handler, and the middlewares around it. `run` is what gRPC would have run with
/// `call`, and is given one in its place that shows what the handler sends.
///
/// Only for handlers that do not read their requests as a stream: nothing tells here how a read
/// ended.
using HandlerParameter = grpc::internal::MethodHandler::HandlerParameter;
void RunHandled(MethodRef method, ServerApi api, const HandlerParameter& call,
                absl::FunctionRef<void(const HandlerParameter&)> run);

}  // namespace internal
}  // namespace v0
}  // namespace weft
