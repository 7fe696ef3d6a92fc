// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weft::collector {

/// Appends a JSON string with its quotes. `text` is UTF-8.
inline void AppendJsonString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  std::size_t copied = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, copied, i - copied);
    copied = i + 1;
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
  out.append(text, copied);
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
  JsonObjectWriter() : text_("{") {}

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
