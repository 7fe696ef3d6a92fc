// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "fold.h"

namespace weft::collector {
namespace {

using std::chrono::days;
using std::chrono::microseconds;
using Time = std::chrono::sys_time<microseconds>;

// Years 0 to 9999, so that the text always has its 27 characters.
constexpr std::int64_t kLeastMicros = -62'167'219'200'000'000;
constexpr std::int64_t kMostMicros = 253'402'300'799'999'999;

class DigitReader {
 public:
  explicit DigitReader(std::string_view in) : in_(in) {}

  std::optional<int> Number(std::size_t digits) {
    if (in_.size() < digits) return std::nullopt;
    int value = 0;
    for (char c : in_.substr(0, digits)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = value * 10 + (c - '0');
    }
    in_.remove_prefix(digits);
    return value;
  }
  bool Take(std::string_view any_of) {
    if (in_.empty() || any_of.find(in_.front()) == std::string_view::npos) return false;
    in_.remove_prefix(1);
    return true;
  }
  char front() const { return in_.empty() ? '\0' : in_.front(); }
  bool empty() const { return in_.empty(); }

 private:
  std::string_view in_;
};

// The digits behind the point, in microseconds.
std::optional<int> Fraction(DigitReader& in) {
  int value = 0;
  int digits = 0;
  while (std::optional<int> digit = in.Number(1)) {
    if (digits++ < 6) value = value * 10 + *digit;
  }
  for (int i = digits; i < 6; ++i) value *= 10;
  return digits == 0 ? std::nullopt : std::optional(value);
}

// "Z", "+hh", "+hhmm", "+hh:mm" or nothing, in minutes.
std::optional<int> Offset(DigitReader& in) {
  if (in.empty() || in.Take("Zz")) return 0;
  int sign = in.front() == '-' ? -1 : 1;
  if (!in.Take("+-")) return std::nullopt;
  std::optional<int> hours = in.Number(2);
  in.Take(":");
  std::optional<int> minutes = in.empty() ? 0 : in.Number(2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 60 + *minutes);
}

std::optional<std::int64_t> ParseIso(std::string_view text) {
  DigitReader in(text);
  std::optional<int> year = in.Number(4);
  if (!year || !in.Take("-")) return std::nullopt;
  std::optional<int> month = in.Number(2);
  if (!month || !in.Take("-")) return std::nullopt;
  std::optional<int> day = in.Number(2);
  if (!day || !in.Take("Tt ")) return std::nullopt;
  std::optional<int> hour = in.Number(2);
  if (!hour || !in.Take(":")) return std::nullopt;
  std::optional<int> minute = in.Number(2);
  std::optional<int> second = in.Take(":") ? in.Number(2) : std::optional(0);
  std::optional<int> fraction = in.Take(".,") ? Fraction(in) : std::optional(0);
  std::optional<int> offset = Offset(in);
  if (!minute || !second || !fraction || !offset || !in.empty()) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(*year),
                                   std::chrono::month(static_cast<unsigned>(*month)),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  Time time = std::chrono::sys_days(date) + std::chrono::hours(*hour) +
              std::chrono::minutes(*minute - *offset) + std::chrono::seconds(*second) +
              microseconds(*fraction);
  return time.time_since_epoch().count();
}

std::optional<std::int64_t> ParseMillis(std::string_view number) {
  const char* end = number.data() + number.size();
  std::int64_t whole = 0;
  // Exact for integers; a double of this size still has its microseconds.
  if (auto [at, error] = std::from_chars(number.data(), end, whole);
      error == std::errc() && at == end) {
    return std::abs(whole) > kMostMicros / 1000 ? std::nullopt : std::optional(whole * 1000);
  }
  double millis = 0;
  auto [at, error] = std::from_chars(number.data(), end, millis);
  if (error != std::errc() || at != end || !(std::fabs(millis) < 1e15)) return std::nullopt;
  return std::llround(millis * 1000);
}

}  // namespace

std::optional<std::string> IsoTime(std::string_view json) {
  bool is_text = json.size() >= 2 && json.front() == '"';
  std::optional<std::int64_t> micros =
      is_text ? ParseIso(json.substr(1, json.size() - 2)) : ParseMillis(json);
  if (!micros || *micros < kLeastMicros || *micros > kMostMicros) return std::nullopt;
  Time time{microseconds(*micros)};
  auto day = std::chrono::floor<days>(time);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss clock(time - day);
  char text[48];
  int size = std::snprintf(
      text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()), static_cast<int>(clock.subseconds().count()));
  return std::string(text, static_cast<std::size_t>(size));
}

}  // namespace weft::collector
