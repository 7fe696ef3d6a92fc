// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <weft/collector/record.h>

namespace weft::collector {

/// A span's id as a big-endian number; 0 = none.
using SpanId = std::uint64_t;

/// A span where it lies in a record: the contents of three messages, without their tags and
/// lengths. Resource and scope are empty where the request names none.
struct SpanSlices {
  std::string_view span;
  std::string_view resource;
  std::string_view scope;
};

/// The slices that an operation of a record of Receiver::kOtlp points at. `payload` is decoded.
SpanSlices SlicesOf(const RunOp& op, std::string_view payload);

/// What a span says about its place: OpenTelemetry's ids, and LangSmith's where attributes name
/// them (docs/spans-as-runs.md).
///
/// `run_id` and `trace_id` are what the span alone can tell. What it is in its trace, and who its
/// parent is, depends on other spans: SpanTree.
struct SpanIds {
  RunId otel_trace_id{};  ///< The 16 bytes.
  SpanId span_id = 0;
  SpanId parent_span_id = 0;
  SpanId traceable_parent_span_id = 0;  ///< `langsmith.traceable_parent_otel_span_id`.

  RunId run_id{};
  RunId trace_id{};
  RunId parent_run_id{};        ///< `langsmith.span.parent_id`; nil = not said.
  bool names_run_id = false;    ///< `langsmith.span.id`
  bool names_trace_id = false;  ///< `langsmith.trace.id`
  bool is_root = false;         ///< It has no parent, or says `langsmith.is_root`.
  std::string dotted_order{};   ///< `langsmith.span.dotted_order`, if it fits the ids above.
  std::string project{};        ///< `langsmith.trace.session_name`; empty = not said.
  std::uint64_t start_unix_ns = 0;
  std::uint64_t end_unix_ns = 0;  ///< 0 = it runs.
  bool has_error = false;
};

/// Reads the ids of a span that a receiver accepted. For other bytes they are nil.
///
/// Cost: one pass over the span, about 1 ns a byte; allocates only for what is named by text.
SpanIds ReadSpanIds(std::string_view span);

/// The run id of a span that names none: 8 zero bytes and the span id.
RunId PaddedRunId(SpanId span_id);

/// The span id of a run that is no span, as `traceparent` tells it: its last 8 bytes.
SpanId ShortId(const RunId& id);

}  // namespace weft::collector
