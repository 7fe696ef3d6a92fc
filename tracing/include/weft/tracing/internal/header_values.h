// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include <weft/tracing/trace_headers.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What TraceHeaders holds, borrowed; for headers that came once each.
struct HeaderValues {
  std::string_view langsmith_trace{};
  std::string_view baggage{};
  std::string_view traceparent{};
  std::string_view tracestate{};
};

/// TraceHeaders::Parse without the copies.
ParsedHeaders ParseHeaders(const HeaderValues& headers, std::size_t max_bytes);

}  // namespace internal
}  // namespace v0
}  // namespace weft
