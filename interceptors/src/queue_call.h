// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

// Calls of completion queues that have no hook: it would cost each batch another pass through the
// queue. Their services are given a server that stands before gRPC's and sees what calls send.

/// Has `service`, whose server is started, request its calls through what is returned, which is to
/// live as long as the server. Null: the service has no methods for queues.
std::unique_ptr<grpc::ServerInterface> WatchQueueService(grpc::Service& service);

/// Whether a call of a service for which WatchQueueService made something can do without a hook. A
/// stream cannot: nothing tells how a read ended; nor can one whose request somebody wants to see.
bool CanWatchQueueCall(const MethodInfo& method) noexcept;

/// Such a call, in the interceptor factory. It lives as long as its server context.
void WatchQueueCall(MethodRef method, grpc::ServerContextBase& context) noexcept;

/// A call of any service for which all middlewares say OnlyReceives: afterwards `ContextOf` finds
/// its context.
void ReceiveForQueue(MethodRef method, grpc::ServerContextBase& context) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
