// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>

#include <weft/tracing/run_id.h>

namespace weft::collector {

using TraceRequest = opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
using OtelSpan = opentelemetry::proto::trace::v1::Span;

inline constexpr std::string_view kOtelTrace = "\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20";
inline constexpr char kOtelTraceId[] = "01020304-0506-0708-090a-0b0c0d0e0f10";
inline constexpr std::uint64_t kStartNs = 1'790'000'000'000'000'000;

/// Eight bytes that end with `number`.
inline std::string SpanIdOf(std::uint64_t number) {
  std::string bytes;
  for (int i = 7; i >= 0; --i) bytes += static_cast<char>(number >> (8 * i));
  return bytes;
}

inline RunId RunIdOf(std::string_view text) { return RunId::Parse(text).value(); }

/// Adds a span to the last scope of the last resource; makes them where there are none.
/// `parent` 0 = none. It begins `number` microseconds after kStartNs and takes one.
inline OtelSpan* AddSpan(TraceRequest& request, std::uint64_t number, std::uint64_t parent,
                         std::string_view trace = kOtelTrace) {
  if (request.resource_spans_size() == 0) request.add_resource_spans();
  auto& resource = *request.mutable_resource_spans(request.resource_spans_size() - 1);
  if (resource.scope_spans_size() == 0) resource.add_scope_spans();
  OtelSpan* const span = resource.mutable_scope_spans(resource.scope_spans_size() - 1)->add_spans();
  span->set_trace_id(std::string(trace));
  span->set_span_id(SpanIdOf(number));
  if (parent != 0) span->set_parent_span_id(SpanIdOf(parent));
  span->set_name("span " + std::to_string(number));
  span->set_start_time_unix_nano(kStartNs + number * 1000);
  span->set_end_time_unix_nano(kStartNs + number * 1000 + 1000);
  return span;
}

inline void SetText(OtelSpan& span, const std::string& key, const std::string& text) {
  auto* const attribute = span.add_attributes();
  attribute->set_key(key);
  attribute->mutable_value()->set_string_value(text);
}

}  // namespace weft::collector
