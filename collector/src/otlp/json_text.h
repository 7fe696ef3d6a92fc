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

#ifdef __SSE2__
/// The same of 16 bytes, all bits of each.
inline __m128i SpecialJsonBytes(__m128i block) {
  return _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block),
                      _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                   _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
}

inline __m128i SpecialJsonBytesAt(const char* at) {
  return SpecialJsonBytes(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}
#endif

/// How many bytes of `text` from `at` on stand in a JSON string as they are.
inline std::size_t PlainJsonBytes(std::string_view text, std::size_t at) {
  static_assert(std::endian::native == std::endian::little);
  const std::size_t start = at;
#ifdef __SSE2__
  // Four at a time, which one question answers; where among them is asked below.
  constexpr std::size_t kBlock = sizeof(__m128i);
  for (; at + 4 * kBlock <= text.size(); at += 4 * kBlock) {
    const char* const blocks = text.data() + at;
    const __m128i special =
        _mm_or_si128(_mm_or_si128(SpecialJsonBytesAt(blocks), SpecialJsonBytesAt(blocks + kBlock)),
                     _mm_or_si128(SpecialJsonBytesAt(blocks + 2 * kBlock),
                                  SpecialJsonBytesAt(blocks + 3 * kBlock)));
    if (_mm_movemask_epi8(special) != 0) break;
  }
  for (; at + kBlock <= text.size(); at += kBlock) {
    const auto mask =
        static_cast<unsigned>(_mm_movemask_epi8(SpecialJsonBytesAt(text.data() + at)));
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

/// Whether all of `text` stands in a JSON string as it is. For short ones: keys, ids and times.
inline bool IsPlainJson(std::string_view text) {
  // The last bytes overlap those before.
#ifdef __SSE2__
  constexpr std::size_t kBlock = sizeof(__m128i);
  if (text.size() >= kBlock) {
    __m128i special = SpecialJsonBytesAt(text.data() + text.size() - kBlock);
    for (std::size_t at = 0; at + kBlock < text.size(); at += kBlock) {
      special = _mm_or_si128(special, SpecialJsonBytesAt(text.data() + at));
    }
    return _mm_movemask_epi8(special) == 0;
  }
#endif
  std::uint64_t first, last;
  if (text.size() < sizeof first || text.size() > 2 * sizeof first) {
    return PlainJsonBytes(text, 0) == text.size();
  }
  std::memcpy(&first, text.data(), sizeof first);
  std::memcpy(&last, text.data() + text.size() - sizeof last, sizeof last);
  return (SpecialJsonBytes(first) | SpecialJsonBytes(last)) == 0;
}

/// Appends a JSON string with its quotes. `text` is UTF-8.
inline void AppendJsonString(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::size_t kAround = 16;  // Quotes, and what usually closes the values around.
  // Keys, ids and times: put together here, they are one piece for the string.
  std::array<char, 64> quoted;
  if (text.size() <= quoted.size() - 2 && IsPlainJson(text)) {
    quoted[0] = '"';
    text.copy(quoted.data() + 1, text.size());
    quoted[text.size() + 1] = '"';
    out.append(quoted.data(), text.size() + 2);
    return;
  }
  std::size_t plain = PlainJsonBytes(text, 0);
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
  void AddText(std::string_view key, std::string_view text) {
    // Most are short; put together here, they are one piece for the string.
    std::array<char, 128> member;
    if (key.size() + text.size() > member.size() - kMarks || !IsPlainJson(key) ||
        !IsPlainJson(text)) {
      return AppendJsonString(Key(key), text);
    }
    char* end = PutKey(key, member.data());
    *end++ = '"';
    end += text.copy(end, text.size());
    *end++ = '"';
    text_.append(member.data(), static_cast<std::size_t>(end - member.data()));
  }
  /// For who writes the value himself.
  std::string& Key(std::string_view key) {
    if (IsPlainJson(key)) return PlainKey(key);
    if (!empty()) text_ += ',';
    AppendJsonString(text_, key);
    return text_ += ':';
  }
  /// Of a key that needs no escapes.
  std::string& PlainKey(std::string_view key) {
    std::array<char, 64> quoted;
    if (key.size() <= quoted.size() - kMarks) {
      const char* const end = PutKey(key, quoted.data());
      return text_.append(quoted.data(), static_cast<std::size_t>(end - quoted.data()));
    }
    if (!empty()) text_ += ',';
    return ((text_ += '"') += key) += "\":";
  }
  bool empty() const { return text_.size() == begin_ + 1; }
  void Close() { text_ += '}'; }
  /// The object, of a writer without `out`; the writer is used up.
  std::string Take() {
    Close();
    return std::move(own_);
  }

 private:
  // Commas, colons and quotes around a key and a text.
  static constexpr std::size_t kMarks = 6;

  char* PutKey(std::string_view key, char* out) const {
    if (!empty()) *out++ = ',';
    *out++ = '"';
    out += key.copy(out, key.size());
    *out++ = '"';
    *out++ = ':';
    return out;
  }

  std::string own_;
  std::string& text_;
  const std::size_t begin_;
};

}  // namespace weft::collector
