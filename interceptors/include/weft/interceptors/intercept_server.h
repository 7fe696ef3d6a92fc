// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/server_interceptor.h>

#include <weft/interceptors/interceptor_options.h>

namespace weft {
inline namespace v0 {

/// Runs a chain of middlewares around every call of the server that `builder` makes: synchronous,
/// callback, completion-queue and generic services alike. Nothing changes in the handlers.
///
///     grpc::ServerBuilder builder;
///     builder.RegisterService(&retriever);
///     if (auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) ...
///
/// Inside a handler the call's context is current: runs made there are children of the call. Code
/// that runs elsewhere (a completion-queue loop, a reactor's callbacks) gets it with
/// `ContextOf(server_context)`.
///
/// What a middleware rejects does not reach the handlers of synchronous and callback services, and
/// their unary and server-streaming calls have no interceptor of gRPC's, only a handler around
/// theirs (InterceptorOptions::guard_services). Loops over completion queues have to ask: see
/// RegisterService.
///
/// `others` are interceptors of your own: a builder has one list, which this function sets. They
/// run inside weft's, in the given order for what is received.
///
/// Lifetime: message allocators of callback services are to be set before the builder builds.
/// Errors: FailedPrecondition for a second call on one builder; InvalidArgument names what is
///   wrong in the options.
absl::Status InterceptServer(
    grpc::ServerBuilder& builder, InterceptorOptions options,
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> others =
        {});

}  // namespace v0
}  // namespace weft
