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

/// A bit in the highest place of each byte of `word` that cannot stand in a JSON string as it is;
/// behind the first one, of others too.
inline std::uint64_t SpecialJsonBytes(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t backslash = word ^ (kOnes * '\\');
  const std::uint64_t special = ((word - kOnes * 0x20) & ~word) | ((quote - kOnes) & ~quote) |
                                ((backslash - kOnes) & ~backslash);
  return special & (kOnes * 0x80);
}

/// How many bytes of `text` from `at` on stand in a JSON string as they are.
inline std::size_t PlainJsonBytes(std::string_view text, std::size_t at) {
  static_assert(std::endian::native == std::endian::little);
  using Block = unsigned char __attribute__((vector_size(16)));
  const std::size_t start = at;
  for (Block block; at + sizeof block <= text.size(); at += sizeof block) {
    std::memcpy(&block, text.data() + at, sizeof block);
    const auto special = (block < 0x20) | (block == '"') | (block == '\\');
    std::uint64_t words[sizeof block / sizeof(std::uint64_t)];
    std::memcpy(words, &special, sizeof words);
    if ((words[0] | words[1]) != 0) break;
  }
  std::uint64_t word;
  for (; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    const std::uint64_t special = SpecialJsonBytes(word);
    if (special != 0) return at + static_cast<std::size_t>(std::countr_zero(special)) / 8 - start;
  }
  // What is left, with bytes before it that are known to be plain.
  if (text.size() - start >= sizeof word) {
    std::memcpy(&word, text.data() + text.size() - sizeof word, sizeof word);
    if (SpecialJsonBytes(word) == 0) return text.size() - start;
  }
  const auto is_plain = [](unsigned char c) { return c >= 0x20 && c != '"' && c != '\\'; };
  while (at < text.size() && is_plain(static_cast<unsigned char>(text[at]))) ++at;
  return at - start;
}

/// Appends a JSON string with its quotes. `text` is UTF-8.
inline void AppendJsonString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kAround = 16;  // Quotes, and what usually closes the values around.
  out.reserve(out.size() + text.size() + kAround);
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
  JsonObjectWriter() : JsonObjectWriter(own_) {}
  /// To the end of `out`, where Close ends it.
  explicit JsonObjectWriter(std::string& out) : text_(out), begin_(out.size()) { text_ += '{'; }
  JsonObjectWriter(const JsonObjectWriter&) = delete;
  JsonObjectWriter& operator=(const JsonObjectWriter&) = delete;

  void Add(std::string_view key, std::string_view json) { Key(key) += json; }
  void AddText(std::string_view key, std::string_view text) { AppendJsonString(Key(key), text); }
  /// For who writes the value himself.
  std::string& Key(std::string_view key) {
    if (!empty()) text_ += ',';
    AppendJsonString(text_, key);
    return text_ += ':';
  }
  bool empty() const { return text_.size() == begin_ + 1; }
  void Close() { text_ += '}'; }
  /// The object, of a writer without `out`; the writer is used up.
  std::string Take() {
    Close();
    return std::move(own_);
  }

 private:
  std::string own_;
  std::string& text_;
  const std::size_t begin_;
};

}  // namespace weft::collector
