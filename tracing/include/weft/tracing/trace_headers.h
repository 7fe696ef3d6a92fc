// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/run_context.h>

namespace weft {
inline namespace v0 {

/// A defect of received headers: never an error of the call, always counted.
struct HeaderProblem {
  std::string code;  ///< Stable, for counters: `bad-langsmith-trace`, `bad-metadata` ...
  std::string text;  ///< For people; names the header or member, never a LangSmith value.
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
  /// `langsmith-trace` a valid `traceparent` is the parent (docs/propagation.md).
  RunContext parent{};
  /// `parent` was made of `traceparent` alone.
  bool parent_is_traceparent = false;
  /// What `baggage` and `tracestate` said, also when there is no parent. Never null.
  std::shared_ptr<const TraceBaggage> baggage{};
  std::optional<Traceparent> traceparent{};
  std::vector<HeaderProblem> problems{};
};

/// The headers that carry a run across a process border: `langsmith-trace`, `baggage`,
/// `traceparent`, `tracestate`. For any transport that has headers.
///
///     TraceHeaders out = TraceHeaders::Of(run);  // writing
///     request.set("langsmith-trace", out.langsmith_trace);
///
///     TraceHeaders in;  // reading
///     for (const auto& [name, value] : request.headers()) in.Add(name, value);
///     ParsedHeaders caller = in.Parse();
///
/// Errors: none. Malformed input gives no parent and a problem; nothing throws, time is linear.
struct TraceHeaders {
  /// How much of all received values Parse looks at.
  static constexpr std::size_t kMaxReceivedBytes = 16'384;

  std::string langsmith_trace{};  ///< Dotted order of the calling run; empty = absent.
  std::string baggage{};
  std::string traceparent{};
  std::string tracestate{};

  /// What a caller sends so that `run` becomes the parent: printable ASCII only, empty values are
  /// not to be sent. `traceparent` is always filled; leave it out where one header does.
  static TraceHeaders Of(const RunContext& run);

  /// Takes a received header; false: the name, in any case, is none of the four. Of several values
  /// `baggage` and `tracestate` are joined; `langsmith-trace` must be the same each time and
  /// `traceparent` must come once, else they count as malformed.
  bool Add(std::string_view name, std::string_view value);

  /// Beyond `max_bytes` in all, whole members of `baggage` are left out, `langsmith-trace` and
  /// `tracestate` are as if absent; with a problem.
  ParsedHeaders Parse(std::size_t max_bytes = kMaxReceivedBytes) const;

  /// What the process that started this one left in the environment, for instance `weft exec`.
  ///
  ///     int main() {
  ///       weft::TracingContext caller({.parent = weft::TraceHeaders::FromEnvironment().Parse()});
  ///
  /// The variables are named as the headers, the way OpenTelemetry does it: LANGSMITH_TRACE,
  /// BAGGAGE, TRACEPARENT, TRACESTATE.
  static TraceHeaders FromEnvironment();

  /// The same for a process that is about to be started: names and values. Those without a value
  /// are not to be in its environment.
  std::array<std::pair<std::string_view, std::string_view>, 4> Variables() const noexcept;
};

}  // namespace v0
}  // namespace weft
