// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {

/// The id of a run or a trace: a UUID, as LangSmith has it.
///
///     RunId id = RunId::New(std::chrono::system_clock::now());
///     id.ToString();  // "01a0b35e-7a00-7a11-9a22-0123456789ab"
///
/// New ids are of version 7: 48 bits of the run's start in milliseconds, 12 bits that count up
/// within a millisecond of a thread, 62 random bits. The last 8 bytes alone tell runs apart: they
/// are the span id in `traceparent`. Ids of any version are accepted from others.
struct RunId {
  static constexpr std::size_t kTextSize = 36;

  std::array<std::uint8_t, 16> bytes{};

  /// An id for a run that starts at `start`.
  /// Threads: any; a process made by fork() makes other ids than its parent.
  static RunId New(std::chrono::system_clock::time_point start) noexcept;

  /// Reads the hyphenated form of 36 characters, in either case.
  static std::optional<RunId> Parse(std::string_view text) noexcept;

  /// The 36 characters, lower case.
  std::string ToString() const;

  /// Writes the 36 characters to `out`, without a terminating zero.
  void Write(char* out) const noexcept;

  bool IsNil() const noexcept { return *this == RunId{}; }

  /// As two words: nothing is asked of ids as often.
  friend constexpr bool operator==(const RunId& a, const RunId& b) noexcept {
    using Words = std::array<std::uint64_t, 2>;
    return std::bit_cast<Words>(a.bytes) == std::bit_cast<Words>(b.bytes);
  }
  friend auto operator<=>(const RunId&, const RunId&) = default;
};

}  // namespace v0
}  // namespace weft

template <>
struct std::hash<weft::RunId> {
  std::size_t operator()(const weft::RunId& id) const noexcept;
};
