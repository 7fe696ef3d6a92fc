// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Which bytes of a run's id are the id of its span.
enum class SpanIdBytes : std::uint8_t {
  kLast,   ///< As in `traceparent`.
  kFirst,  ///< As LangSmith's Python SDK does; runs of one millisecond may get the same.
};

/// A run as the mapping to a span of OpenTelemetry sees it, wherever it comes from. Refers to what
/// it was made of.
struct SpanSource {
  RunId id;
  RunId trace_id;
  std::optional<RunId> parent_id;
  std::string_view dotted_order;
  std::string_view name;
  std::string_view run_type;
  std::chrono::system_clock::time_point start;
  std::optional<std::chrono::system_clock::time_point> end;  ///< Absent: not finished.
  const JsonObject* inputs = nullptr;                        ///< Null: the run says none.
  const JsonObject* outputs = nullptr;
  // Their texts, where there are any: sent as they are. Else the objects are written.
  std::string_view inputs_json;
  std::string_view outputs_json;
  std::optional<std::string_view> error;
  JsonObject metadata;                            ///< `extra.metadata`.
  const JsonObject* invocation_params = nullptr;  ///< `extra.invocation_params`.
  const JsonObject* serialized = nullptr;
  std::vector<std::string> tags;
  const std::vector<RunEvent>* events = nullptr;
  const std::vector<RunAttachment>* attachments = nullptr;
  std::string_view session_name;
  std::string_view session_id;
  std::string_view reference_example_id;
  std::string_view address;  ///< An agent's, in place of a project.
  std::string_view tracestate;
  SpanIdBytes span_ids = SpanIdBytes::kLast;
};

/// Of a finished record (FinishRecord).
SpanSource SpanSourceOf(const RunRecord& record);

/// The id of a run's span: the last 8 bytes of the run's, as in `traceparent`; what they are for a
/// run that was made from a span, too, whatever `bytes` says. Never zero.
std::array<std::uint8_t, 8> SpanIdOf(const RunId& id,
                                     SpanIdBytes bytes = SpanIdBytes::kLast) noexcept;

/// What a resource is called: the service that the run is of, else its project.
std::string_view ServiceNameOf(const SpanSource& run) noexcept;

/// Appends the run as the bytes of an OTLP `Span`, without a tag before them.
///
/// What a span cannot say otherwise is in attributes `langsmith.*`, with which a receiver gets the
/// run back as it was; `gen_ai.*` are OpenTelemetry's names for the calls of models. Text beyond
/// `longest_value` bytes is cut: JSON to `{"weft_truncated": {"bytes": N, "start": "..."}}`.
void AppendSpan(std::string& out, const SpanSource& run,
                std::size_t longest_value = static_cast<std::size_t>(-1));

/// The same in at most `max_size` bytes, as long as that has room for more than names and ids.
void AppendSpanUpTo(std::string& out, const SpanSource& run, std::size_t max_size);

}  // namespace internal
}  // namespace v0
}  // namespace weft
