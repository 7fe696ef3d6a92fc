// SPDX-License-Identifier: Apache-2.0
#include "json_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// What can be copied as it is: printable ASCII but quote and backslash.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x80; ++c) plain[static_cast<std::size_t>(c)] = c != '"' && c != '\\';
  return plain;
}();

/// Whether the eight bytes at `text` can be copied as they are.
bool EightPlain(const char* text) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof(word));
  const auto any_is = [word](std::uint64_t c) {
    const std::uint64_t zero_where_equal = word ^ c * kOnes;
    return (zero_where_equal - kOnes) & ~zero_where_equal;
  };
  const std::uint64_t below_blank = (word - 0x20 * kOnes) & ~word;
  return ((word | below_blank | any_is('"') | any_is('\\')) & 0x80 * kOnes) == 0;
}

void AppendEscaped(std::string& out, unsigned char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

void AppendValue(std::string& out, const Json& value, int depth);

void AppendObject(std::string& out, const JsonObject& object, int depth) {
  if (object.empty()) {
    out += "{}";
    return;
  }
  out += '{';
  AppendJsonMembers(out, object, depth);
  out.back() = '}';
}

void AppendArray(std::string& out, const JsonArray& array, int depth) {
  if (array.empty()) {
    out += "[]";
    return;
  }
  out += '[';
  for (const Json& value : array) {
    AppendValue(out, value, depth + 1);
    out += ',';
  }
  out.back() = ']';
}

void AppendValue(std::string& out, const Json& value, int depth) {
  if (depth > kMaxJsonDepth) {
    out += "null";
    return;
  }
  switch (value.kind()) {
    case boost::json::kind::null:
      out += "null";
      return;
    case boost::json::kind::bool_:
      out += value.get_bool() ? "true" : "false";
      return;
    case boost::json::kind::int64:
      return AppendJsonNumber(out, value.get_int64());
    case boost::json::kind::uint64:
      return AppendJsonNumber(out, value.get_uint64());
    case boost::json::kind::double_:
      return AppendJsonNumber(out, value.get_double());
    case boost::json::kind::string:
      return AppendJsonString(out, value.get_string());
    case boost::json::kind::array:
      return AppendArray(out, value.get_array(), depth);
    case boost::json::kind::object:
      return AppendObject(out, value.get_object(), depth);
  }
}

template <typename Integer>
void AppendInteger(std::string& out, Integer number) {
  std::array<char, 24> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  out.append(text.data(), end);
}

}  // namespace

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t plain = at;
    while (plain + 8 <= text.size() && EightPlain(text.data() + plain)) plain += 8;
    while (plain < text.size() && kPlain[static_cast<unsigned char>(text[plain])]) ++plain;
    out.append(text, at, plain - at);
    at = plain;
    if (at == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at]);
    if (c < 0x80 && c != 0x7f) {
      AppendEscaped(out, c);
      ++at;
      continue;
    }
    const Utf8Step step = NextUtf8(text.substr(at));
    if (step.valid) {
      out.append(text, at, step.length);
    } else {
      out += kReplacementCharacter;
    }
    at += step.length;
  }
  out += '"';
}

void AppendJsonNumber(std::string& out, std::int64_t number) { AppendInteger(out, number); }

void AppendJsonNumber(std::string& out, std::uint64_t number) { AppendInteger(out, number); }

void AppendJsonNumber(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  std::array<char, 32> text;
  const char* const end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
  const std::string_view written(text.data(), static_cast<std::size_t>(end - text.data()));
  out += written;
  // A reader that tells integers from other numbers reads back what was given.
  if (written.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void AppendJson(std::string& out, const Json& value) { AppendValue(out, value, 0); }

void AppendJson(std::string& out, const JsonObject& object) { AppendObject(out, object, 0); }

void AppendJsonMembers(std::string& out, const JsonObject& object, int depth) {
  for (const auto& [key, value] : object) {
    AppendJsonString(out, key);
    out += ':';
    AppendValue(out, value, depth + 1);
    out += ',';
  }
}

void AppendIsoTime(std::string& out, std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  // Four digits of a year are all that the form has room for.
  constexpr auto kFirst = sys_days(std::chrono::year(1) / 1 / 1);
  constexpr auto kLast = sys_days(std::chrono::year(9999) / 12 / 31);
  const auto micros = floor<microseconds>(time);
  const auto day = std::clamp(floor<days>(micros), kFirst, kLast);
  const auto in_day = static_cast<std::uint64_t>(
      std::clamp(micros - day, microseconds(0), microseconds(days(1)) - microseconds(1)).count());
  const auto second = static_cast<std::uint32_t>(in_day / 1'000'000);
  const auto fraction = static_cast<std::uint32_t>(in_day % 1'000'000);
  // The date is what takes long to find, and it is the same all day.
  struct Date {
    sys_days day = sys_days::min();
    std::array<char, 27> text;
  };
  thread_local Date date;
  // Two digits at a time, of numbers below 100.
  const auto put = [](std::size_t at, std::uint32_t number) {
    date.text[at] = static_cast<char>('0' + number / 10);
    date.text[at + 1] = static_cast<char>('0' + number % 10);
  };
  if (date.day != day) {
    date.day = day;
    const year_month_day fields(day);
    const auto year = static_cast<std::uint32_t>(static_cast<int>(fields.year()));
    std::memcpy(date.text.data(), "YYYY-MM-DDThh:mm:ss.ffffffZ", date.text.size());
    put(0, year / 100);
    put(2, year % 100);
    put(5, static_cast<unsigned>(fields.month()));
    put(8, static_cast<unsigned>(fields.day()));
  }
  put(11, second / 3600);
  put(14, second / 60 % 60);
  put(17, second % 60);
  put(20, fraction / 10000);
  put(22, fraction / 100 % 100);
  put(24, fraction % 100);
  out.append(date.text.data(), date.text.size());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
