// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <weft/tracing/run_id.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// `YYYYMMDDTHHMMSSffffffZ` and an id.
inline constexpr std::size_t kSegmentSize = 22 + RunId::kTextSize;

/// 9999-12-31T23:59:59.999999, the last time that a segment can say.
inline constexpr std::int64_t kMaxSegmentMicros = 253'402'300'799'999'999;
/// 0001-01-01T00:00:00, the first one.
inline constexpr std::int64_t kMinSegmentMicros = -62'135'596'800'000'000;

/// Writes kSegmentSize characters. `micros` since 1970 is clamped to what four digits of a year
/// say.
void WriteSegment(std::int64_t micros, const RunId& id, char* out) noexcept;

/// What a valid dotted order says.
struct DottedOrder {
  RunId trace_id;                  ///< Of the first segment.
  RunId id;                        ///< Of the last one.
  std::optional<RunId> parent_id;  ///< Of the last but one.
  std::int64_t micros = 0;         ///< Time of the last one.
};

/// Reads a whole dotted order: every segment has a real date and time, 1 to 6 digits of a second's
/// fraction and a hyphenated UUID. What LangSmith's SDKs both accept passes: ids in upper case and
/// `t` for `T`; `z` for `Z` does not.
std::optional<DottedOrder> ParseDottedOrder(std::string_view text) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
