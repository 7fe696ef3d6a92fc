// SPDX-License-Identifier: Apache-2.0
#include "former_span.h"

#include <algorithm>
#include <iterator>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::string_view kStatus = "otel_status_code";
constexpr std::string_view kStatusMessage = "otel_status_description";
constexpr std::string_view kNanoseconds = "otel_time_ns";
constexpr std::string_view kSpanId = "OTEL_SPAN_ID";
constexpr std::string_view kCodes[] = {"OK", "ERROR"};  // Not set: the metadata says none.

std::string_view TextAt(const JsonObject& object, std::string_view key) noexcept {
  const Json* const value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

}  // namespace

std::optional<FormerSpan> FormerSpan::Of(const SpanSource& run) {
  if (TextAt(run.metadata, kSpanId).empty()) return std::nullopt;
  FormerSpan span;
  const auto* const code =
      std::find(std::begin(kCodes), std::end(kCodes), TextAt(run.metadata, kStatus));
  if (code != std::end(kCodes)) span.status_ = 1 + static_cast<int>(code - std::begin(kCodes));
  span.status_message_ = TextAt(run.metadata, kStatusMessage);
  const Json* const nanoseconds = run.metadata.if_contains(kNanoseconds);
  if (nanoseconds != nullptr) span.nanoseconds_ = nanoseconds->if_array();
  return span;
}

std::uint64_t FormerSpan::NanosecondsOf(std::size_t time) const noexcept {
  const Json* const value = nanoseconds_ != nullptr ? nanoseconds_->if_contains(time) : nullptr;
  if (value == nullptr || !value->is_int64()) return 0;
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(value->get_int64(), 0, 999));
}

bool FormerSpan::Holds(std::string_view key) noexcept {
  return key == kStatus || key == kStatusMessage || key == kNanoseconds;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
