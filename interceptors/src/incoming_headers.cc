// SPDX-License-Identifier: Apache-2.0
#include "header_exchange.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMostLookedAt = 16 * 1024;

template <typename Metadata>
ParsedHeaders Read(const Metadata& metadata) {
  TraceHeaders headers;
  for (const std::string_view name :
       {kTraceHeader, kBaggageHeader, kTraceparentHeader, kTracestateHeader}) {
    metadata.ForEach(name, [&](std::string_view value) { headers.Add(name, value); });
  }
  const bool none =
      headers.langsmith_trace.empty() && headers.baggage.empty() && headers.traceparent.empty();
  return none ? ParsedHeaders() : headers.Parse(kMostLookedAt);
}

}  // namespace

ParsedHeaders ReadOwnHeaders(const MetadataWriter& metadata) {
  return metadata.Get(kTraceHeader) || metadata.Get(kTraceparentHeader) ? Read(metadata)
                                                                        : ParsedHeaders();
}

ParsedHeaders ReadReceivedHeaders(const MetadataView& metadata) {
  ParsedHeaders parsed = Read(metadata);
  for (const HeaderProblem& problem : parsed.problems) CountHeaderProblem(problem.code);
  return parsed;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
