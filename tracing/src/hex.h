// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// 0 ... 15, or -1 for what is no hexadecimal digit.
inline constexpr std::array<std::int8_t, 256> kHexValues = [] {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  constexpr std::string_view kLower = "0123456789abcdef";
  constexpr std::string_view kUpper = "0123456789ABCDEF";
  for (std::size_t i = 0; i < kLower.size(); ++i) {
    table[static_cast<unsigned char>(kLower[i])] = static_cast<std::int8_t>(i);
    table[static_cast<unsigned char>(kUpper[i])] = static_cast<std::int8_t>(i);
  }
  return table;
}();

inline int HexValue(char c) noexcept { return kHexValues[static_cast<unsigned char>(c)]; }

/// Reads two digits a byte, either case. False: other characters, or not the right length.
inline bool ReadHex(std::string_view text, std::span<std::uint8_t> out) noexcept {
  if (text.size() != out.size() * 2) return false;
  int bad = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int value = HexValue(text[2 * i]) * 16 | HexValue(text[2 * i + 1]);
    bad |= value;  // A digit of -1 makes the value negative.
    out[i] = static_cast<std::uint8_t>(value);
  }
  return bad >= 0;
}

/// Two lower-case digits of every byte value.
inline constexpr std::array<std::array<char, 2>, 256> kHexPairs = [] {
  std::array<std::array<char, 2>, 256> table{};
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = {kDigits[i >> 4], kDigits[i & 15]};
  return table;
}();

/// Writes two lower-case digits a byte and returns the end.
inline char* WriteHex(std::span<const std::uint8_t> bytes, char* out) noexcept {
  for (const std::uint8_t byte : bytes) {
    std::memcpy(out, kHexPairs[byte].data(), 2);
    out += 2;
  }
  return out;
}

/// The lower-case digits of 16 bytes at once: ids are written more often than anything else.
inline std::array<char, 32> HexDigits(const std::array<std::uint8_t, 16>& bytes) noexcept {
  using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
  const auto in = std::bit_cast<Bytes>(bytes);
  const auto digits_of = [](Bytes values) {
    return values + '0' + (static_cast<Bytes>(values > 9) & ('a' - '0' - 10));
  };
  const Bytes high = digits_of(in >> 4);
  const Bytes low = digits_of(in & 15);
  const std::array<Bytes, 2> text = {
      __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
      __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                              31)};
  return std::bit_cast<std::array<char, 32>>(text);
}

/// The 16 bytes that 32 digits are, either case, all at once. False: other characters. The digits
/// come as words of memory: from narrow stores the processor would wait to load wide ones.
inline bool ReadHexDigits(const std::array<std::uint64_t, 4>& digits,
                          std::array<std::uint8_t, 16>& out) noexcept {
  using Bytes [[gnu::vector_size(16)]] = std::uint8_t;
  using Words [[gnu::vector_size(16)]] = std::uint64_t;
  const auto front = std::bit_cast<Bytes>(Words{digits[0], digits[1]});
  const auto back = std::bit_cast<Bytes>(Words{digits[2], digits[3]});
  const Bytes first = __builtin_shufflevector(front, back, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20,
                                              22, 24, 26, 28, 30);
  const Bytes second = __builtin_shufflevector(front, back, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21,
                                               23, 25, 27, 29, 31);
  Bytes valid = ~Bytes{};
  const auto value_of = [&valid](Bytes characters) {
    const Bytes digit = characters - '0';
    const Bytes letter = (characters | 0x20) - 'a';
    const auto is_digit = static_cast<Bytes>(digit < 10);
    const auto is_letter = static_cast<Bytes>(letter < 6);
    valid &= is_digit | is_letter;
    return static_cast<Bytes>((digit & is_digit) | ((letter + 10) & is_letter));
  };
  const Bytes bytes = value_of(first) << 4 | value_of(second);
  out = std::bit_cast<std::array<std::uint8_t, 16>>(bytes);
  const auto words = std::bit_cast<Words>(valid);
  return (words[0] & words[1]) == ~std::uint64_t{0};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
