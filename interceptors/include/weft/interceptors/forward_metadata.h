// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

/// Sends listed headers of a received call with the calls that its handler makes.
///
///     auto forward = weft::ForwardMetadata({"x-tenant", "x-request-*"});
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {forward}});
///     auto channel = weft::CreateChannel(target, credentials,
///                                        {.tracer = tracer, .middlewares = {forward}});
///
/// A name is lower case; one that ends in `*` stands for all that begin so. A server remembers what
/// its list names, a channel sends of it what its own list names. Only a full name selects
/// `authorization`, `proxy-authorization` and `cookie`; nothing selects the headers of the trace,
/// which Tracing writes, nor those of gRPC. A header that the application set itself is left alone.
///
/// Errors: what may not be sent is dropped and counted (see MetadataWriter). At most 2 KiB are
///   remembered of a call, the first listed first.
std::shared_ptr<Middleware> ForwardMetadata(std::vector<std::string> names);

}  // namespace v0
}  // namespace weft
