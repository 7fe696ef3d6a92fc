// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>

namespace weft {
inline namespace v0 {

/// Registers a service whose handlers do not run for calls that a middleware rejected (see
/// Middleware::Admit): the peer gets the verdict's status and trailers instead. In the place of
/// `builder.RegisterService(&service)`, before or after InterceptServer:
///
///     weft::RegisterService(builder, &cart);
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {weft::Auth(check_key)}});
///
/// Takes synchronous and callback services as the generator made them, and those of completion
/// queues, whose loops are to ask `Rejected(server_context)`. FiberServer asks by itself: register
/// its services with the builder.
///
/// A service that is registered in another way has its rejected calls cancelled with the verdict's
/// code and text, without trailers; its handlers run, and a warning names it.
///
/// Lifetime: the service outlives the server, as ever. Message allocators of a callback service are
///   to be set before.
/// Errors: InvalidArgument for a null service, and for a synchronous method whose messages are not
///   of protobuf; names it. The service is not registered then.
/// Cost: less than without. Unary and server-streaming calls of synchronous and callback services
///   then have no interceptor, only the handler around theirs, as long as InterceptServer is given
///   no other ones: docs/decisions/0009-guarded-services-have-no-hooks.md.
absl::Status RegisterService(grpc::ServerBuilder& builder, grpc::Service* service);

/// The same for what has every method: `WithGenericMethod...` of the generator, proxies.
absl::Status RegisterCallbackGenericService(grpc::ServerBuilder& builder,
                                            grpc::CallbackGenericService* service);
/// Its loop is to ask `Rejected(server_context)`.
absl::Status RegisterAsyncGenericService(grpc::ServerBuilder& builder,
                                         grpc::AsyncGenericService* service);

}  // namespace v0
}  // namespace weft
