// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <weft/tracing/internal/header_values.h>

#include "header_exchange.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMostLookedAt = 16 * 1024;

std::string_view* FieldOf(HeaderValues& values, std::string_view key) noexcept {
  switch (key.size()) {
    case kTraceHeader.size():
      return key == kTraceHeader ? &values.langsmith_trace : nullptr;
    case kBaggageHeader.size():
      return key == kBaggageHeader ? &values.baggage : nullptr;
    case kTraceparentHeader.size():
      return key == kTraceparentHeader ? &values.traceparent : nullptr;
    case kTracestateHeader.size():
      return key == kTracestateHeader ? &values.tracestate : nullptr;
    default:
      return nullptr;
  }
}

ParsedHeaders Parse(const HeaderValues& values) {
  const bool none =
      values.langsmith_trace.empty() && values.baggage.empty() && values.traceparent.empty();
  return none ? ParsedHeaders() : ParseHeaders(values, kMostLookedAt);
}

template <typename Map>
ParsedHeaders ReadRepeated(const Map& map) {
  TraceHeaders headers;
  for (const auto& [key, value] : map) {
    headers.Add(std::string_view(key.data(), key.size()),
                std::string_view(value.data(), value.size()));
  }
  return Parse({headers.langsmith_trace, headers.baggage, headers.traceparent, headers.tracestate});
}

template <typename Map>
ParsedHeaders Read(const Map& map) {
  HeaderValues values;
  for (const auto& [key, value] : map) {
    std::string_view* const field = FieldOf(values, std::string_view(key.data(), key.size()));
    if (field == nullptr) continue;
    // By far most come once, and say something.
    if (!field->empty() || value.empty()) return ReadRepeated(map);
    *field = std::string_view(value.data(), value.size());
  }
  return Parse(values);
}

}  // namespace

bool HasOwnParent(const MetadataWriter& metadata) noexcept {
  // Applications send few headers: a look at each takes less than a search in the map.
  return std::ranges::any_of(metadata.map(), [](const auto& pair) {
    return pair.first == kTraceHeader || pair.first == kTraceparentHeader;
  });
}

ParsedHeaders ReadOwnHeaders(const MetadataWriter& metadata) {
  return HasOwnParent(metadata) ? Read(metadata.map()) : ParsedHeaders();
}

bool HasReceivedHeaders(const MetadataView& metadata) noexcept {
  return metadata.Get(kTraceHeader) || metadata.Get(kTraceparentHeader) ||
         metadata.Get(kBaggageHeader);
}

ParsedHeaders ReadReceivedHeaders(const MetadataView& metadata) {
  ParsedHeaders parsed = Read(metadata.map());
  for (const HeaderProblem& problem : parsed.problems) CountHeaderProblem(problem.code);
  return parsed;
}

// In the form that links of OpenTelemetry's spans have in a run.
JsonObject LinkTo(const ParsedHeaders& headers) {
  // 00-<trace id>-<span id>-<flags>
  const std::string traceparent = TraceHeaders::Of(headers.parent).traceparent;
  JsonObject link;
  if (traceparent.size() >= 52) {
    link["trace_id"] = traceparent.substr(3, 32);
    link["span_id"] = traceparent.substr(36, 16);
  }
  if (!headers.parent_is_traceparent) link["run_id"] = headers.parent.id().ToString();
  return {{"weft_links", JsonArray{std::move(link)}}};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
