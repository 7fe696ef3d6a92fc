// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <weft/tracing/internal/run_to_span.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What a run that was made from a span says of it in its metadata (docs/spans-as-runs.md), so that
/// it can become the same span again. Refers to the run.
class FormerSpan {
 public:
  /// Nothing: the run was no span.
  static std::optional<FormerSpan> Of(const SpanSource& run);

  /// 0 unset, 1 OK, 2 error.
  int status() const noexcept { return status_; }
  std::string_view status_message() const noexcept { return status_message_; }

  /// What is below the microseconds of a time: 0 = the start, 1 = the end, then of the events.
  std::uint64_t NanosecondsOf(std::size_t time) const noexcept;

  /// Whether the metadata's member is only here for this.
  static bool Holds(std::string_view key) noexcept;

 private:
  int status_ = 0;
  std::string_view status_message_;
  const JsonArray* nanoseconds_ = nullptr;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
