// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_builder.h>

namespace weft {
inline namespace v0 {

/// Registers a service whose handlers do not run for calls that a middleware rejected (see
/// Middleware::Admit): the peer gets the verdict's status and trailers instead. InterceptServer
/// does it by itself for synchronous and callback services that the builder was given, so it is for
/// those of completion queues, whose loops are to ask `Rejected(server_context)`:
///
///     weft::RegisterService(builder, &cart);
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {weft::Auth(check_key)}});
///     ...
///     if (const grpc::Status* const rejected = weft::Rejected(context)) {
///       return writer.FinishWithError(*rejected, tag);
///     }
///
/// and for other services where a method that cannot be guarded is to be an error. FiberServer asks
/// by itself: register its services with the builder.
///
/// A queue's service that the builder registered has its rejected calls cancelled with the
/// verdict's code and text, without trailers; its loop gets them, and a warning names it.
///
/// Lifetime: the service outlives the server, as ever. Message allocators of a callback service are
///   to be set before.
/// Errors: InvalidArgument for a null service, and for a synchronous method whose messages are not
///   of protobuf; names it. The service is not registered then.
absl::Status RegisterService(grpc::ServerBuilder& builder, grpc::Service* service);

/// The same for what has every method: `WithGenericMethod...` of the generator, proxies. Done by
/// InterceptServer, too, for the one that the builder was given.
absl::Status RegisterCallbackGenericService(grpc::ServerBuilder& builder,
                                            grpc::CallbackGenericService* service);
/// Its loop is to ask `Rejected(server_context)`.
absl::Status RegisterAsyncGenericService(grpc::ServerBuilder& builder,
                                         grpc::AsyncGenericService* service);

}  // namespace v0
}  // namespace weft
