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

void AppendEscaped(std::string& out, std::string_view bytes) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const char escape[] = {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    out.append(escape, sizeof(escape));
  }
}

}  // namespace

void AppendPercentEncoded(std::string& out, std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t plain = at;
    while (plain < text.size() && kUnreserved[static_cast<unsigned char>(text[plain])]) ++plain;
    out.append(text, at, plain - at);
    at = plain;
    if (at == text.size()) break;
    const Utf8Step step = NextUtf8(text.substr(at));
    AppendEscaped(out, step.valid ? text.substr(at, step.length) : kReplacementCharacter);
    at += step.length;
  }
}

PercentDecoded PercentDecode(std::string_view text) {
  PercentDecoded decoded;
  decoded.text.reserve(text.size());
  bool ascii = true;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '%') {
      const int high = at + 2 < text.size() ? HexValue(text[at + 1]) : -1;
      const int low = high >= 0 ? HexValue(text[at + 2]) : -1;
      if (low >= 0) {
        c = static_cast<char>(high << 4 | low);
        at += 2;
      } else {
        decoded.bad_escape = true;
      }
    }
    ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    decoded.text.push_back(c);
  }
  if (!ascii && !IsValidUtf8(decoded.text)) {
    decoded.invalid_utf8 = true;
    decoded.text = ToValidUtf8(decoded.text);
  }
  return decoded;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
