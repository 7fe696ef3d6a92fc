// SPDX-License-Identifier: Apache-2.0
#pragma once

// For programs that use opentelemetry-cpp, which weft itself does not: without its API this header
// declares nothing.
#if __has_include(<opentelemetry/trace/span_context.h>)

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <opentelemetry/context/runtime_context.h>
#include <opentelemetry/trace/context.h>
#include <opentelemetry/trace/default_span.h>
#include <opentelemetry/trace/scope.h>
#include <opentelemetry/trace/span_context.h>

#include <weft/tracing/run.h>
#include <weft/tracing/trace_headers.h>

namespace weft {
inline namespace v0 {

/// The current span of opentelemetry-cpp as the parent of runs: the current run if the span stands
/// for it (OpenTelemetryScope), else what `traceparent` would say (docs/propagation.md). No span:
/// the current run.
///
///     auto span = tracer->StartSpan("handle");
///     opentelemetry::trace::Scope scope(span);
///     weft::Run run("plan", {.parent = weft::OpenTelemetryParent()});
inline Parent OpenTelemetryParent() {
  namespace trace = ::opentelemetry::trace;
  const auto span = trace::GetSpan(::opentelemetry::context::RuntimeContext::GetCurrent());
  const trace::SpanContext context = span->GetContext();
  if (!context.IsValid()) return {};
  std::array<char, 32> trace_id;
  std::array<char, 16> span_id;
  context.trace_id().ToLowerBase16(trace_id);
  context.span_id().ToLowerBase16(span_id);
  TraceHeaders headers;
  headers.traceparent = "00-" + std::string(trace_id.data(), trace_id.size()) + '-' +
                        std::string(span_id.data(), span_id.size()) +
                        (context.IsSampled() ? "-01" : "-00");
  const RunContext current = CurrentRun().context();
  constexpr std::size_t kIdsEnd = 52;  // The flags may differ.
  if (TraceHeaders::Of(current).traceparent.substr(0, kIdsEnd) ==
      headers.traceparent.substr(0, kIdsEnd)) {
    return current;
  }
  headers.tracestate = context.trace_state()->ToHeader();
  return headers.Parse();
}

/// Makes a run opentelemetry-cpp's current span until the end of a block, so that spans below are
/// its children and calls of other instrumentation carry its ids.
///
///     weft::Run run("plan");
///     weft::OpenTelemetryScope scope(run.context());
///
/// Lifetime: a local variable only. Of an empty run: nothing.
/// Threads: opentelemetry-cpp's current span belongs to the thread: a fiber must not wait within
///   the block.
class [[nodiscard]] OpenTelemetryScope final {
 public:
  explicit OpenTelemetryScope(const RunContext& run) {
    namespace trace = ::opentelemetry::trace;
    if (!run) return;
    const RunId trace_id = run.trace_id();
    const RunId id = run.id();
    // The last half, as in `traceparent`.
    const ::opentelemetry::nostd::span<const std::uint8_t, 8> span_id(id.bytes.data() + 8, 8);
    const auto flags = static_cast<std::uint8_t>(run.sampled() ? trace::TraceFlags::kIsSampled : 0);
    const trace::SpanContext context(
        trace::TraceId(trace_id.bytes), trace::SpanId(span_id), trace::TraceFlags(flags),
        /*is_remote=*/false, trace::TraceState::FromHeader(run.baggage().tracestate));
    scope_.emplace(
        ::opentelemetry::nostd::shared_ptr<trace::Span>(new trace::DefaultSpan(context)));
  }

  OpenTelemetryScope(const OpenTelemetryScope&) = delete;
  OpenTelemetryScope& operator=(const OpenTelemetryScope&) = delete;

 private:
  std::optional<::opentelemetry::trace::Scope> scope_;
};

}  // namespace v0
}  // namespace weft

#endif
