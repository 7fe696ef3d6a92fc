// SPDX-License-Identifier: Apache-2.0
#include "percent.h"

#include <array>
#include <cstdint>

#include "hex.h"
#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::array<bool, 256> kUnreserved = [] {
  std::array<bool, 256> table{};
  for (const char c :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

char* WriteEscaped(std::string_view bytes, char* out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    *out++ = '%';
    *out++ = kDigits[byte >> 4];
    *out++ = kDigits[byte & 15];
  }
  return out;
}

}  // namespace

void AppendPercentEncoded(std::string& out, std::string_view text) {
  // A byte that is no UTF-8 becomes three, each of them escaped; a character has at most 12.
  constexpr std::size_t kChunk = 64;
  std::array<char, (kChunk - 1) * 9 + 12> buffer;
  while (!text.empty()) {
    char* end = buffer.data();
    std::size_t read = 0;
    while (read < text.size() && read < kChunk) {
      if (kUnreserved[static_cast<unsigned char>(text[read])]) {
        *end++ = text[read++];
        continue;
      }
      const bool ascii = static_cast<unsigned char>(text[read]) < 0x80;
      const Utf8Step step =
          ascii ? Utf8Step{.length = 1, .valid = true} : NextUtf8(text.substr(read));
      end = WriteEscaped(step.valid ? text.substr(read, step.length) : kReplacementCharacter, end);
      read += step.length;
    }
    out.append(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
    text.remove_prefix(read);
  }
}

PercentDecoded PercentDecode(std::string_view text) {
  PercentDecoded decoded;
  decoded.text.resize(text.size());
  char* out = decoded.text.data();
  unsigned char seen = 0;
  for (const char *at = text.data(), *const end = at + text.size(); at < end; ++at) {
    char c = *at;
    if (c == '%') {
      const int byte = end - at > 2 ? HexValue(at[1]) * 16 | HexValue(at[2]) : -1;
      if (byte >= 0) {
        c = static_cast<char>(byte);
        at += 2;
      } else {
        decoded.bad_escape = true;
      }
    }
    seen |= static_cast<unsigned char>(c);
    *out++ = c;
  }
  decoded.text.resize(static_cast<std::size_t>(out - decoded.text.data()));
  const bool ascii = seen < 0x80;
  if (!ascii && !IsValidUtf8(decoded.text)) {
    decoded.invalid_utf8 = true;
    decoded.text = ToValidUtf8(decoded.text);
  }
  return decoded;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
