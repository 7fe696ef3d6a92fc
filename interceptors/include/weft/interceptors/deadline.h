// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include <grpcpp/client_context.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

struct DeadlineOptions {
  /// Calls with less time left are refused.
  std::chrono::nanoseconds least{0};
};

/// On a server: refuses calls that nobody waits for any more with DEADLINE_EXCEEDED, before their
/// handler runs, and makes a call's deadline known to what its handler does: see SetDeadline.
///
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {weft::Deadline()}});
///
/// Handlers of refused calls do not run (see InterceptServer).
std::shared_ptr<Middleware> Deadline(DeadlineOptions options = {});

/// When the call that the calling stack handles must be done; absent: at no known time.
std::optional<std::chrono::system_clock::time_point> CurrentDeadline() noexcept;

struct ClientDeadlineOptions {
  /// The longest that the call may take.
  std::optional<std::chrono::nanoseconds> timeout{};
  /// How long before CurrentDeadline() the call ends, so that its caller can still answer.
  std::chrono::nanoseconds margin = std::chrono::milliseconds(5);
};

/// Gives a call the earliest of: the deadline that the context has, `timeout` from now, and
/// CurrentDeadline() less the margin. Without any the context stays as it is.
///
///     grpc::ClientContext context;
///     weft::SetDeadline(context, {.timeout = 2s});
///     stub->Add(&context, request, &reply);
///
/// It is a function because gRPC fixes a call's deadline before any interceptor sees the call.
void SetDeadline(grpc::ClientContext& context, ClientDeadlineOptions options = {}) noexcept;

}  // namespace v0
}  // namespace weft
