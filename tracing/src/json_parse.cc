// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/json.h>

#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include <boost/json/basic_parser_impl.hpp>

#include "hex.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using boost::json::error_code;
using boost::json::string_view;

// The events of boost::json::basic_parser, put into a value. What differs from Boost's own handler:
// on_double reads the number's text again, because 1.81 may be wrong in the last bit.
class ValueHandler {
 public:
  static constexpr std::size_t max_object_size = boost::json::object::max_size();
  static constexpr std::size_t max_array_size = boost::json::array::max_size();
  static constexpr std::size_t max_key_size = boost::json::string::max_size();
  static constexpr std::size_t max_string_size = boost::json::string::max_size();

  Json Release() { return stack_.release(); }

  bool on_document_begin(error_code&) {
    stack_.reset();
    return true;
  }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return true; }
  bool on_object_end(std::size_t size, error_code&) {
    stack_.push_object(size);
    return true;
  }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t size, error_code&) {
    stack_.push_array(size);
    return true;
  }
  bool on_key_part(string_view part, std::size_t, error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_key(string_view last, std::size_t, error_code&) {
    stack_.push_key(last);
    return true;
  }
  bool on_string_part(string_view part, std::size_t, error_code&) {
    stack_.push_chars(part);
    return true;
  }
  bool on_string(string_view last, std::size_t, error_code&) {
    stack_.push_string(last);
    return true;
  }
  bool on_number_part(string_view part, error_code&) {
    number_.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t value, string_view, error_code&) {
    number_.clear();
    stack_.push_int64(value);
    return true;
  }
  bool on_uint64(std::uint64_t value, string_view, error_code&) {
    number_.clear();
    stack_.push_uint64(value);
    return true;
  }
  bool on_double(double value, string_view last, error_code&) {
    number_.append(last.data(), last.size());
    // Out of range leaves `value` as the parser had it: zero or infinity, which JSON cannot say.
    std::from_chars(number_.data(), number_.data() + number_.size(), value);
    number_.clear();
    if (std::isfinite(value)) {
      stack_.push_double(value);
    } else {
      stack_.push_null();
    }
    return true;
  }
  bool on_bool(bool value, error_code&) {
    stack_.push_bool(value);
    return true;
  }
  bool on_null(error_code&) {
    stack_.push_null();
    return true;
  }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

 private:
  std::array<unsigned char, 1024> first_block_;  // Most metadata needs no other.
  boost::json::value_stack stack_{{}, first_block_.data(), first_block_.size()};
  std::string number_;
};

constexpr std::size_t kEscapeSize = 6;  // \uXXXX

// The code unit that `text` starts with as an escape, or -1.
int EscapedUnit(std::string_view text) noexcept {
  if (text.size() < kEscapeSize || text[0] != '\\' || text[1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(2, 4)) {
    const int digit = HexValue(c);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool IsHighSurrogate(int unit) noexcept { return unit >= 0xD800 && unit <= 0xDBFF; }
bool IsLowSurrogate(int unit) noexcept { return unit >= 0xDC00 && unit <= 0xDFFF; }

std::string ReplaceLoneSurrogates(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const int unit = EscapedUnit(text.substr(at));
    std::size_t take = unit >= 0 ? kEscapeSize : text[at] == '\\' ? 2 : 1;
    const bool pair =
        IsHighSurrogate(unit) && IsLowSurrogate(EscapedUnit(text.substr(at + kEscapeSize)));
    if (pair) take = 2 * kEscapeSize;
    if (!pair && (IsHighSurrogate(unit) || IsLowSurrogate(unit))) {
      out += "\\uFFFD";
    } else {
      out += text.substr(at, take);
    }
    at += take;
  }
  return out;
}

}  // namespace
}  // namespace internal

std::optional<Json> ParseJson(std::string_view text) {
  std::string repaired;
  if (text.find("\\ud") != text.npos || text.find("\\uD") != text.npos) {
    repaired = internal::ReplaceLoneSurrogates(text);
    text = repaired;
  }
  boost::json::parse_options options;
  options.max_depth = kMaxParsedJsonDepth;
  boost::json::basic_parser<internal::ValueHandler> parser(options);
  boost::json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (error || !parser.done()) return std::nullopt;
  if (text.find_first_not_of(" \t\r\n", read) != text.npos) return std::nullopt;
  return parser.handler().Release();
}

}  // namespace v0
}  // namespace weft
