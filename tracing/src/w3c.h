// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <weft/tracing/trace_headers.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Reads `traceparent`, blanks around it apart: version 00 exactly, later versions as far as they
/// are known. Nothing for version ff, ids of zeros and upper-case digits.
std::optional<Traceparent> ParseTraceparent(std::string_view text) noexcept;

/// The members of `tracestate` without blanks and empty ones, joined by `,`. Nothing when a member
/// is malformed or there are more than 32.
std::optional<std::string> NormalizeTracestate(std::string_view text);

/// The value of `traceparent` for a run, or an empty string when an id is all zeros.
std::string RenderTraceparent(const RunId& trace_id, const RunId& id, bool sampled);

}  // namespace internal
}  // namespace v0
}  // namespace weft
