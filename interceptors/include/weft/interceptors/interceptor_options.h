// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <weft/interceptors/middleware.h>
#include <weft/interceptors/selector.h>
#include <weft/interceptors/tracing_middleware.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {

/// A middleware and the methods that it sees.
struct ChainLink {
  template <std::derived_from<Middleware> M>
  ChainLink(std::shared_ptr<M> link, Selector methods = {})  // NOLINT: written as a list element.
      : middleware(std::move(link)), selector(std::move(methods)) {}

  std::shared_ptr<Middleware> middleware;
  Selector selector;
};

/// What runs around the calls of a channel or a server. Fixed once registered.
struct InterceptorOptions {
  /// Traces every call. Null: calls are not traced (put a Tracing() of your own into
  /// `middlewares` to trace with the global tracer).
  std::shared_ptr<Tracer> tracer{};
  TracingOptions tracing{};
  /// Run inside the tracing, in this order.
  std::vector<ChainLink> middlewares{};
  /// Methods whose messages the application itself handles as grpc::ByteBuffer: those that it calls
  /// through a GenericStub, or serves with `WithRawMethod_...`. Generic services need not be named.
  /// A middleware that wants messages sees those of other methods only as generated classes.
  std::optional<Selector> byte_buffers{};
  /// Of a server: when the builder builds, a handler is put around those of its synchronous,
  /// callback and callback generic services. They do not run for calls that a middleware rejected,
  /// and most calls need no hook of gRPC. False: services stay as the generator made them, and
  /// theirs run for rejected calls unless RegisterService was used.
  bool guard_services = true;
  /// Calls that it does not select cost nothing and are seen by nobody.
  Selector selector = ApplicationCalls();
};

}  // namespace v0
}  // namespace weft
