// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace weft::collector {

/// A time as JSON has it, `2026-09-10T00:26:40.021001Z`, and as dotted orders do,
/// `20260910T002640021001Z`.
inline constexpr std::size_t kIsoTimeBytes = 27;
inline constexpr std::size_t kOrderTimeBytes = 22;

namespace internal {

/// The eight digits of a number below 100,000,000 all at once: halves, pairs, digits.
inline std::uint64_t EightDigits(std::uint32_t number) {
  static_assert(std::endian::native == std::endian::little);
  const std::uint64_t halves = number / 10'000 | static_cast<std::uint64_t>(number % 10'000) << 32;
  const std::uint64_t hundreds = (halves * 10'486 >> 20) & 0x0000'007f'0000'007f;
  const std::uint64_t pairs = hundreds | (halves - 100 * hundreds) << 16;
  const std::uint64_t tens = (pairs * 103 >> 10) & 0x000f'000f'000f'000f;
  return (tens | (pairs - 10 * tens) << 8) + 0x3030'3030'3030'3030;
}

struct UtcDigits {
  std::array<char, 8> date;   ///< Year, month and day.
  std::array<char, 8> clock;  ///< Hour, minute and second behind two zeros.
  std::array<char, 8> part;   ///< Of a second: six digits behind two zeros.
};

/// Times beyond the years 1 to 9999 are taken as the nearest one in them.
inline UtcDigits DigitsOf(std::int64_t unix_us) {
  constexpr std::int64_t kFirst = -62'135'596'800'000'000;
  constexpr std::int64_t kLast = 253'402'300'799'999'999;
  const std::chrono::sys_time<std::chrono::microseconds> time{
      std::chrono::microseconds(std::clamp(unix_us, kFirst, kLast))};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(midnight);
  const auto us = static_cast<std::uint64_t>((time - midnight).count());
  const auto seconds = static_cast<std::uint32_t>(us / 1'000'000);
  const auto year = static_cast<std::uint32_t>(static_cast<int>(date.year()));
  const std::uint32_t day =
      year * 10'000 + static_cast<unsigned>(date.month()) * 100 + static_cast<unsigned>(date.day());
  const std::uint32_t clock = seconds / 3600 * 10'000 + seconds / 60 % 60 * 100 + seconds % 60;
  const auto part = static_cast<std::uint32_t>(us % 1'000'000);
  return {std::bit_cast<std::array<char, 8>>(EightDigits(day)),
          std::bit_cast<std::array<char, 8>>(EightDigits(clock)),
          std::bit_cast<std::array<char, 8>>(EightDigits(part))};
}

}  // namespace internal

/// Cost: 10 ns; snprintf takes some 500.
inline std::array<char, kIsoTimeBytes> IsoTimeText(std::int64_t unix_us) {
  const internal::UtcDigits digits = internal::DigitsOf(unix_us);
  std::array<char, kIsoTimeBytes> text;
  std::memcpy(text.data(), "0000-00-00T00:00:00.000000Z", text.size());
  std::memcpy(&text[0], &digits.date[0], 4);
  std::memcpy(&text[5], &digits.date[4], 2);
  std::memcpy(&text[8], &digits.date[6], 2);
  std::memcpy(&text[11], &digits.clock[2], 2);
  std::memcpy(&text[14], &digits.clock[4], 2);
  std::memcpy(&text[17], &digits.clock[6], 2);
  std::memcpy(&text[20], &digits.part[2], 6);
  return text;
}

inline std::array<char, kOrderTimeBytes> OrderTimeText(std::int64_t unix_us) {
  const internal::UtcDigits digits = internal::DigitsOf(unix_us);
  std::array<char, kOrderTimeBytes> text;
  std::memcpy(text.data(), "00000000T000000000000Z", text.size());
  std::memcpy(&text[0], &digits.date[0], 8);
  std::memcpy(&text[9], &digits.clock[2], 6);
  std::memcpy(&text[15], &digits.part[2], 6);
  return text;
}

}  // namespace weft::collector
