// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/run_context.h>

namespace weft {
inline namespace v0 {

/// A defect of received headers: never an error of the call, always counted.
struct HeaderProblem {
  std::string code;  ///< Stable, for counters: `bad-dotted-order`, `bad-metadata` ...
  std::string text;  ///< For people; names the header, never the value of a secret.
};

/// The W3C `traceparent` of a caller that knows only OpenTelemetry.
struct Traceparent {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};
  bool sampled = false;
};

/// What received headers said.
struct ParsedHeaders {
  /// The calling run with what it hands down, or empty: no usable parent. Without a usable
  /// `langsmith-trace` a valid `traceparent` is the parent (specified in docs/propagation.md).
  RunContext parent;
  /// What `baggage` said, also when there is no parent.
  std::shared_ptr<const TraceBaggage> baggage;
  std::optional<Traceparent> traceparent;
  std::vector<HeaderProblem> problems;
};

/// The headers that carry a run across a process border: `langsmith-trace`, `baggage`,
/// `traceparent`, `tracestate`.
///
///     request.set("langsmith-trace", headers.langsmith_trace);   // writing
///     ParsedHeaders in = TraceHeaders{.langsmith_trace = value}.Parse();  // reading
///
/// Several received values of one header are given as they came; see the members.
///
/// Errors: none. Malformed input gives no parent and a problem; nothing throws, time is linear.
struct TraceHeaders {
  std::string langsmith_trace;  ///< Dotted order of the calling run; empty = absent.
  std::string baggage;          ///< Several headers are joined with `,`; empty = absent.
  std::string traceparent;
  std::string tracestate;

  /// What a caller sends so that `run` becomes the parent. `traceparent` is always filled; leave it
  /// out where one header does.
  static TraceHeaders Of(const RunContext& run);

  ParsedHeaders Parse() const;
};

}  // namespace v0
}  // namespace weft
