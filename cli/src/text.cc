// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <cwchar>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <absl/strings/str_format.h>

namespace weft::cli {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

/// The first character of `text`, which is not empty. Overlong forms and surrogates are invalid.
Character Decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return {first, 1, true};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < bytes) return {};
  char32_t code = first & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return {};
    code = code << 6 | (next & 0x3F);
  }
  constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  return {code, bytes, true};
}

/// C0 and C1 controls, line and paragraph separators, and direction overrides and isolates.
bool DrivesTerminal(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E ||
         code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

std::string Hex(const char* format, unsigned value) {
  std::array<char, 16> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, value);
  return buffer.data();
}

std::size_t Columns(const Character& character) {
  const int width = wcwidth(static_cast<wchar_t>(character.code));
  return width < 0 ? 1 : static_cast<std::size_t>(width);
}

std::string Decimals(double value, const char* unit) {
  std::array<char, 32> buffer{};
  std::snprintf(buffer.data(), buffer.size(), value < 10 ? "%.2f %s" : "%.1f %s", value, unit);
  return buffer.data();
}

}  // namespace

std::string EscapeControls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character next = Decode(text);
    if (!next.valid || next.code < 0x80) {
      const auto byte = static_cast<unsigned char>(text[0]);
      if (next.valid && !DrivesTerminal(next.code)) {
        out += text[0];
      } else {
        out += Hex("\\x%02x", byte);
      }
    } else if (DrivesTerminal(next.code)) {
      out += Hex("\\u%04x", static_cast<unsigned>(next.code));
    } else {
      out += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes);
  }
  return out;
}

std::string EscapeJsonForTerminal(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  while (!json.empty()) {
    const Character next = Decode(json);
    if (next.valid && next.code >= 0x7F && DrivesTerminal(next.code)) {
      out += Hex("\\u%04x", static_cast<unsigned>(next.code));
    } else {
      out += json.substr(0, next.bytes);
    }
    json.remove_prefix(next.bytes);
  }
  return out;
}

std::size_t DisplayWidth(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Character next = Decode(text);
    width += Columns(next);
    text.remove_prefix(next.bytes);
  }
  return width;
}

std::string Truncate(std::string_view text, std::size_t columns, std::string_view ellipsis) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  const std::size_t room = columns - std::min(columns, DisplayWidth(ellipsis));
  std::size_t used = 0;
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character next = Decode(text.substr(bytes));
    if (used + Columns(next) > room) break;
    used += Columns(next);
    bytes += next.bytes;
  }
  return std::string(text.substr(0, bytes)) + std::string(ellipsis);
}

std::string PadRight(std::string_view text, std::size_t columns) {
  const std::size_t width = DisplayWidth(text);
  return std::string(text) + std::string(columns - std::min(columns, width), ' ');
}

std::string PadLeft(std::string_view text, std::size_t columns) {
  const std::size_t width = DisplayWidth(text);
  return std::string(columns - std::min(columns, width), ' ') + std::string(text);
}

std::string FormatDuration(std::int64_t microseconds) {
  if (microseconds < 1000) return std::to_string(microseconds) + " us";
  const double milliseconds = static_cast<double>(microseconds) / 1e3;
  if (milliseconds < 999.5) return Decimals(milliseconds, "ms");
  if (milliseconds < 60e3) return Decimals(milliseconds / 1e3, "s");
  const std::int64_t seconds = microseconds / 1'000'000;
  return std::to_string(seconds / 60) + " min " + std::to_string(seconds % 60) + " s";
}

std::string FormatCount(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::ptrdiff_t first = count < 0 ? 1 : 0;
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

std::string FormatCost(double dollars) {
  const double size = std::abs(dollars);
  int decimals = 4;
  if (size > 0 && size < 1e-4)
    decimals = std::min(1 - static_cast<int>(std::floor(std::log10(size))), 20);
  return absl::StrFormat("$%.*f", decimals, dollars);
}

}  // namespace weft::cli
