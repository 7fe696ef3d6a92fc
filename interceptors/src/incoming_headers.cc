// SPDX-License-Identifier: Apache-2.0
#include "header_exchange.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMostLookedAt = 16 * 1024;

/// Takes one pair, if it is one of ours. By far most headers come once.
void Take(TraceHeaders& headers, std::string_view key, std::string_view value) {
  const auto take = [&](std::string_view name, std::string& field) {
    if (key != name) return;
    if (field.empty() && !value.empty()) {
      field = value;
    } else {
      headers.Add(name, value);
    }
  };
  switch (key.size()) {
    case kTraceHeader.size():
      return take(kTraceHeader, headers.langsmith_trace);
    case kBaggageHeader.size():
      return take(kBaggageHeader, headers.baggage);
    case kTraceparentHeader.size():
      return take(kTraceparentHeader, headers.traceparent);
    case kTracestateHeader.size():
      return take(kTracestateHeader, headers.tracestate);
  }
}

template <typename Map>
ParsedHeaders Read(const Map& map) {
  TraceHeaders headers;
  for (const auto& [key, value] : map) {
    Take(headers, std::string_view(key.data(), key.size()),
         std::string_view(value.data(), value.size()));
  }
  const bool none =
      headers.langsmith_trace.empty() && headers.baggage.empty() && headers.traceparent.empty();
  return none ? ParsedHeaders() : headers.Parse(kMostLookedAt);
}

}  // namespace

ParsedHeaders ReadOwnHeaders(const MetadataWriter& metadata) {
  return metadata.Get(kTraceHeader) || metadata.Get(kTraceparentHeader) ? Read(metadata.map())
                                                                        : ParsedHeaders();
}

ParsedHeaders ReadReceivedHeaders(const MetadataView& metadata) {
  ParsedHeaders parsed = Read(metadata.map());
  for (const HeaderProblem& problem : parsed.problems) CountHeaderProblem(problem.code);
  return parsed;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
