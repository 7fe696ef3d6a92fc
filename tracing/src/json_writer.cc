// SPDX-License-Identifier: Apache-2.0
#include "json_writer.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
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

constexpr std::size_t kBlockSize = 16;

/// So many bytes of text at once.
#if defined(__SSE2__)
class Block {
 public:
  explicit Block(const char* text) noexcept
      : bytes_(_mm_loadu_si128(reinterpret_cast<const __m128i*>(text))) {}
  /// A bit for each byte, the first one lowest, that is not to be copied as it is.
  unsigned NotPlain() const noexcept {
    // Compared as signed numbers, so what is beyond ASCII is below blank, too.
    const __m128i below_blank = _mm_cmplt_epi8(bytes_, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(bytes_, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes_, _mm_set1_epi8('\\'));
    return static_cast<unsigned>(
        _mm_movemask_epi8(_mm_or_si128(below_blank, _mm_or_si128(quote, backslash))));
  }

 private:
  const __m128i bytes_;
};
#else
class Block {
 public:
  explicit Block(const char* text) noexcept : text_(text) {}
  unsigned NotPlain() const noexcept {
    unsigned bits = 0;
    for (unsigned i = 0; i < kBlockSize; ++i) {
      bits |= kPlain[static_cast<unsigned char>(text_[i])] ? 0U : 1U << i;
    }
    return bits;
  }

 private:
  const char* const text_;
};
#endif

/// The end of what can be copied as it is, from `at` on.
std::size_t PlainFrom(std::string_view text, std::size_t at) noexcept {
  for (; at + kBlockSize <= text.size(); at += kBlockSize) {
    const unsigned not_plain = Block(text.data() + at).NotPlain();
    if (not_plain != 0) return at + static_cast<unsigned>(std::countr_zero(not_plain));
  }
  while (at < text.size() && kPlain[static_cast<unsigned char>(text[at])]) ++at;
  return at;
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
  std::size_t plain = PlainFrom(text, 0);
  if (plain == text.size()) {  // By far most.
    const std::size_t start = out.size();
    out.resize(start + text.size() + 2, '"');
    std::memcpy(out.data() + start + 1, text.data(), text.size());
    return;
  }
  out += '"';
  for (std::size_t at = 0; at < text.size(); plain = PlainFrom(text, at)) {
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
  std::array<char, kIsoTimeSize> text;
  WriteIsoTime(time, text.data());
  out.append(text.data(), text.size());
}

void WriteIsoTime(std::chrono::system_clock::time_point time, char* out) noexcept {
  using namespace std::chrono;
  // Four digits of a year are all that the form has room for.
  constexpr sys_seconds kFirst = sys_days(std::chrono::year(1) / 1 / 1);
  constexpr sys_seconds kEnd = sys_days(std::chrono::year(10'000) / 1 / 1);
  const auto micros =
      std::clamp<sys_time<microseconds>>(floor<microseconds>(time), kFirst, kEnd - microseconds(1));
  // Times come in order, so most have the second of the one before.
  struct Second {
    sys_seconds second = sys_days(std::chrono::year(0) / 1 / 1);  // before any that is asked for
    std::array<char, kIsoTimeSize> text;
  };
  thread_local Second last;
  const auto put = [](char* at, std::uint32_t number) {  // two digits
    at[0] = static_cast<char>('0' + number / 10);
    at[1] = static_cast<char>('0' + number % 10);
  };
  if (micros < last.second || micros - last.second >= seconds(1)) {
    last.second = floor<seconds>(micros);
    const auto day = floor<days>(last.second);
    const year_month_day date(day);
    const auto year = static_cast<std::uint32_t>(static_cast<int>(date.year()));
    const auto in_day = static_cast<std::uint32_t>((last.second - day).count());
    char* const text = last.text.data();
    std::memcpy(text, "YYYY-MM-DDThh:mm:ss.ffffffZ", kIsoTimeSize);
    put(text, year / 100);
    put(text + 2, year % 100);
    put(text + 5, static_cast<unsigned>(date.month()));
    put(text + 8, static_cast<unsigned>(date.day()));
    put(text + 11, in_day / 3600);
    put(text + 14, in_day / 60 % 60);
    put(text + 17, in_day % 60);
  }
  std::memcpy(out, last.text.data(), kIsoTimeSize);
  const auto fraction = static_cast<std::uint32_t>((micros - last.second).count());
  put(out + 20, fraction / 10000);
  put(out + 22, fraction / 100 % 100);
  put(out + 24, fraction % 100);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
