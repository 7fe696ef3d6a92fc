// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/support/status.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

struct RecoveryOptions {
  /// What the peer is told about an exception; null where gRPC kept it to itself. Empty, or a
  /// status that is OK: INTERNAL and "Unexpected error in RPC handling".
  std::function<grpc::Status(const std::exception_ptr& exception)> reply{};
  /// Called for each handler that threw, on the thread that sends the reply: it must not block.
  std::function<void(const Call& call, const std::exception_ptr& exception)> on_exception{};
  /// A method of a callback service that throws is for gRPC the same as one that returns no
  /// reactor, which the generated methods do that nobody has overridden: UNIMPLEMENTED without a
  /// text. Takes all such calls for exceptions; false: none of them.
  bool null_reactors = true;
};

/// On a server: a handler that throws ends its call with INTERNAL and a text that discloses
/// nothing, whatever interface of gRPC it is written for. The exception is told to you and to the
/// run of the call.
///
///     auto recovery = weft::Recovery({.on_exception = [](const weft::Call& call,
///                                                        const std::exception_ptr& exception) {
///       Log(call.method().full_method, weft::ExceptionText(exception));
///     }});
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {recovery}});
///
/// gRPC catches the exceptions of synchronous handlers and of callback methods itself and forgets
/// them, so their text is known only where docs/middleware.md says so, under Recovery.
///
/// Leave methods that a callback service does not have out by a selector:
/// `{weft::Recovery(), weft::Not("/shop.Cart/Watch")}`, or see `null_reactors`.
///
/// Errors: a function of the options that throws is counted as a hook failure; the peer is told
///   INTERNAL. InterceptorStats::handler_exceptions counts the handlers that threw.
std::shared_ptr<Middleware> Recovery(RecoveryOptions options = {});

/// What people are told about an exception: its `what()`. "not a std::exception", "unknown" for
/// null.
std::string ExceptionText(const std::exception_ptr& exception);

}  // namespace v0
}  // namespace weft
