// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace weft::collector {

/// How many bytes of `text` from `at` on stand in a JSON string as they are.
inline std::size_t PlainJsonBytes(std::string_view text, std::size_t at) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighs = 0x8080808080808080;
  const std::size_t start = at;
  for (std::uint64_t word; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    const std::uint64_t quote = word ^ (kOnes * '"');
    const std::uint64_t backslash = word ^ (kOnes * '\\');
    const std::uint64_t special = ((word - kOnes * 0x20) & ~word) | ((quote - kOnes) & ~quote) |
                                  ((backslash - kOnes) & ~backslash);
    // Borrows of the subtractions mark bytes behind the first one only.
    if ((special & kHighs) != 0) {
      return at + static_cast<std::size_t>(std::countr_zero(special & kHighs)) / 8 - start;
    }
  }
  const auto is_plain = [](unsigned char c) { return c >= 0x20 && c != '"' && c != '\\'; };
  while (at < text.size() && is_plain(static_cast<unsigned char>(text[at]))) ++at;
  return at - start;
}

/// Appends a JSON string with its quotes. `text` is UTF-8.
inline void AppendJsonString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (std::size_t at = 0;; ++at) {
    const std::size_t plain = PlainJsonBytes(text, at);
    out.append(text, at, plain);
    at += plain;
    if (at == text.size()) break;
    const auto c = static_cast<unsigned char>(text[at]);
    if (c == '"' || c == '\\') {
      (out += '\\') += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      ((out += "\\u00") += kHex[c >> 4]) += kHex[c & 15];
    }
  }
  out += '"';
}

inline std::string JsonString(std::string_view text) {
  std::string json;
  json.reserve(text.size() + 2);
  AppendJsonString(json, text);
  return json;
}

/// Writes an object member by member.
class JsonObjectWriter {
 public:
  JsonObjectWriter() {
    text_.reserve(512);
    text_ = '{';
  }

  void Add(std::string_view key, std::string_view json) { Key(key) += json; }
  void AddText(std::string_view key, std::string_view text) { AppendJsonString(Key(key), text); }
  bool empty() const { return text_.size() == 1; }
  /// The object; the writer is used up.
  std::string Take() { return std::move(text_ += '}'); }

 private:
  std::string& Key(std::string_view key) {
    if (!empty()) text_ += ',';
    AppendJsonString(text_, key);
    return text_ += ':';
  }

  std::string text_;
};

}  // namespace weft::collector
