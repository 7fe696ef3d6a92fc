// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include <grpcpp/impl/call_op_set_interface.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/callback_common.h>

#include <weft/context/context.h>

#include "server_call.h"

namespace weft {
inline namespace v0 {
namespace internal {

// What a server's call without a hook needs of gRPC in the place of one.

/// gRPC has it for interceptors to change.
ServerCall::ReceivedMetadata& MetadataOf(grpc::ServerContextBase& context) noexcept;

/// Shows `call` what is about to be sent with `operations`, as hooks would be shown it.
void Send(ServerCall& call, grpc::internal::CallOpSetInterface& operations) noexcept;

/// Where gRPC says that a callback call is over. Queues do not use it: there its function only
/// keeps what it holds until the server context ends.
grpc::internal::CallbackWithSuccessTag& CompletionOf(grpc::ServerContextBase& context) noexcept;
std::function<void(bool)>& FunctionOf(grpc::internal::CallbackWithSuccessTag& completion) noexcept;

/// The context of a call for which all middlewares say OnlyReceives.
Context ReceivedContext(MethodRef method, grpc::ServerContextBase& context) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
