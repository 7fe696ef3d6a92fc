// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include <weft/tracing/run_id.h>

namespace weft {
inline namespace v0 {

/// LangSmith's head sampling: a hash of the trace id decides, so that every process and SDK decides
/// alike and no flag travels. Kept are traces whose bucket is below `rate` (0 none, 1 all).
///
///     if (!SampledByTraceId(run.trace_id(), 0.1)) return;
bool SampledByTraceId(const RunId& trace_id, double rate) noexcept;

/// For ids as text. Hashed as it is: the caller puts UUIDs into lower case.
bool SampledByTraceId(std::string_view trace_id, double rate) noexcept;

/// XXH3-128 of the text modulo 1,000,000.
std::uint32_t SamplingBucket(std::string_view trace_id) noexcept;

}  // namespace v0
}  // namespace weft
