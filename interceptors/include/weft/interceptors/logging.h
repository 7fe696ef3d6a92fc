// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarning, kError };

/// `debug`, `info`, `warning`, `error`.
std::string_view LogLevelName(LogLevel level) noexcept;

/// What go-grpc-middleware logs a code as: errors that are the server's fault are errors, those
/// that hint at trouble are warnings.
LogLevel LogLevelOf(grpc::StatusCode code) noexcept;

/// Takes a line without its end. Called by several threads at once, and on gRPC's threads: it must
/// not block.
using LogSink = std::function<void(LogLevel level, std::string_view line)>;

struct LoggingOptions {
  std::function<LogLevel(grpc::StatusCode)> level = LogLevelOf;
  /// Calls below it make no line.
  LogLevel least = LogLevel::kInfo;
  /// One of so many calls that ended OK makes a line; every other does.
  std::uint32_t one_of = 1;
};

/// Writes one line for each call, when it has ended.
///
///     auto log = [](weft::LogLevel level, std::string_view line) { queue.Push(level, line); };
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {weft::Logging(log)}});
///
///     level=info grpc.component=server grpc.service=shop.Cart grpc.method=Add
///     grpc.method_type=unary grpc.code=OK grpc.time_ms=1.25 trace_id=019b7a... run_id=019b7a...
///
/// (in one line; `peer.address` where RealPeer found it), then `rejected_by`, `grpc.error` and
/// `exception` where there is one. `run_id` is on a server the call's run, on a client the run that
/// made the call. A value with blanks or the like is quoted; what is not printable ASCII is written
/// as `\xNN`, so that no peer forges a line or talks to a terminal. Values longer than 512 bytes
/// are cut.
///
/// An empty sink gives null. Errors: a sink or level function that throws is counted as a hook
///   failure.
std::shared_ptr<Middleware> Logging(LogSink sink, LoggingOptions options = {});

}  // namespace v0
}  // namespace weft
