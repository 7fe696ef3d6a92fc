// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
  const std::size_t start = at;
#ifdef __SSE2__
  const __m128i last_control = _mm_set1_epi8(0x1f);
  const __m128i quote = _mm_set1_epi8('"');
  const __m128i backslash = _mm_set1_epi8('\\');
  for (; at + sizeof(__m128i) <= text.size(); at += sizeof(__m128i)) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + at));
    const __m128i special =
        _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(block, last_control), block),
                     _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, backslash)));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    if (mask != 0) return at + static_cast<std::size_t>(std::countr_zero(mask)) - start;
  }
#endif
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
  std::size_t plain = PlainJsonBytes(text, 0);
  // Keys, ids and times: put together here, they are one piece for the string.
  std::array<char, 64> quoted;
  if (plain == text.size() && plain <= quoted.size() - 2) {
    quoted[0] = '"';
    text.copy(quoted.data() + 1, plain);
    quoted[plain + 1] = '"';
    out.append(quoted.data(), plain + 2);
    return;
  }
  out.reserve(out.size() + text.size() + kAround);
  out += '"';
  for (std::size_t at = 0;; plain = PlainJsonBytes(text, ++at)) {
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
    std::array<char, 48> quoted;
    const bool first = empty();
    if (key.size() > quoted.size() - 4 || PlainJsonBytes(key, 0) != key.size()) {
      if (!first) text_ += ',';
      AppendJsonString(text_, key);
      return text_ += ':';
    }
    char* end = quoted.data();
    if (!first) *end++ = ',';
    *end++ = '"';
    end += key.copy(end, key.size());
    *end++ = '"';
    *end++ = ':';
    return text_.append(quoted.data(), end);
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
