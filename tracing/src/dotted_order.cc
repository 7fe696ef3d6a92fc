// SPDX-License-Identifier: Apache-2.0
#include "dotted_order.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

void WriteDigits(std::uint32_t value, std::size_t count, char* out) noexcept {
  for (std::size_t i = count; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
}

// -1: not all of them are ASCII digits.
std::int32_t ReadDigits(std::string_view text) noexcept {
  std::int32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

// `text` is YYYYMMDDTHHMMSS.
std::optional<std::int64_t> ParseSecond(std::string_view text) noexcept {
  const std::int32_t year = ReadDigits(text.substr(0, 4));
  const std::int32_t month = ReadDigits(text.substr(4, 2));
  const std::int32_t day = ReadDigits(text.substr(6, 2));
  const std::int32_t hour = ReadDigits(text.substr(9, 2));
  const std::int32_t minute = ReadDigits(text.substr(11, 2));
  const std::int32_t second = ReadDigits(text.substr(13, 2));
  if (year < 1 || month < 1 || day < 1 || hour < 0 || minute < 0 || second < 0 || hour > 23 ||
      minute > 59 || second > 59 || (text[8] != 'T' && text[8] != 't')) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return days * kMicrosPerDay + ((hour * 60 + minute) * 60 + second) * kMicrosPerSecond;
}

/// Most times that a thread meets are of the second of the one before.
struct Second {
  static constexpr std::size_t kTextSize = 15;

  std::array<char, kTextSize + 1> text{"19700101T000000"};
  std::int64_t micros = 0;
};

// `text` is YYYYMMDDTHHMMSSf...f.
std::optional<std::int64_t> ParseTimestamp(std::string_view text) noexcept {
  thread_local Second last;
  if (std::memcmp(text.data(), last.text.data(), Second::kTextSize) != 0) {
    const std::optional<std::int64_t> micros = ParseSecond(text.substr(0, Second::kTextSize));
    if (!micros) return std::nullopt;
    std::memcpy(last.text.data(), text.data(), Second::kTextSize);
    last.micros = *micros;
  }
  std::int32_t fraction = ReadDigits(text.substr(Second::kTextSize));
  if (fraction < 0) return std::nullopt;
  for (std::size_t digits = text.size() - Second::kTextSize; digits < 6; ++digits) fraction *= 10;
  return last.micros + fraction;
}

}  // namespace

void WriteSegment(std::int64_t micros, const RunId& id, char* out) noexcept {
  micros = std::clamp(micros, kMinSegmentMicros, kMaxSegmentMicros);
  thread_local Second last;
  if (micros < last.micros || micros - last.micros >= kMicrosPerSecond) {
    const std::chrono::sys_time<std::chrono::microseconds> time{std::chrono::microseconds(micros)};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const auto second = static_cast<std::uint32_t>((time - day) / std::chrono::seconds(1));
    WriteDigits(static_cast<std::uint32_t>(static_cast<int>(date.year())), 4, last.text.data());
    WriteDigits(static_cast<unsigned>(date.month()), 2, last.text.data() + 4);
    WriteDigits(static_cast<unsigned>(date.day()), 2, last.text.data() + 6);
    last.text[8] = 'T';
    WriteDigits(second / 3600, 2, last.text.data() + 9);
    WriteDigits(second / 60 % 60, 2, last.text.data() + 11);
    WriteDigits(second % 60, 2, last.text.data() + 13);
    last.micros = micros - (time - day) % std::chrono::seconds(1) / std::chrono::microseconds(1);
  }
  std::memcpy(out, last.text.data(), Second::kTextSize);
  WriteDigits(static_cast<std::uint32_t>(micros - last.micros), 6, out + 15);
  out[21] = 'Z';
  id.Write(out + 22);
}

std::optional<DottedOrder> ParseDottedOrder(std::string_view text) noexcept {
  constexpr std::size_t kShortest = kSegmentSize - 5;  // One digit of a fraction.
  DottedOrder result;
  for (bool first = true;; first = false) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    const std::string_view segment = text.substr(0, dot);
    if (segment.size() < kShortest || segment.size() > kSegmentSize) return std::nullopt;
    const std::size_t zulu = segment.size() - RunId::kTextSize - 1;
    const std::optional<RunId> id = RunId::Parse(segment.substr(zulu + 1));
    const std::optional<std::int64_t> micros = ParseTimestamp(segment.substr(0, zulu));
    if (segment[zulu] != 'Z' || !id || !micros) return std::nullopt;
    if (first) {
      result.trace_id = *id;
    } else {
      result.parent_id = result.id;
    }
    result.id = *id;
    result.micros = *micros;
    if (dot == text.size()) return result;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
