// SPDX-License-Identifier: Apache-2.0
#include "log_crc32c.h"

#include <array>
#include <cstring>

#include <boost/crc.hpp>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace weft::collector {

std::uint32_t Crc32cByTable(std::uint32_t salt, std::string_view bytes) noexcept {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(&salt, sizeof salt);
  crc.process_bytes(bytes.data(), bytes.size());
  return crc.checksum();
}

#if defined(__x86_64__)
namespace {

// The instruction takes three cycles and can begin in each: three stretches are done at once.
constexpr std::size_t kStretch = 1024;

std::uint64_t WordAt(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// What a checksum becomes by a stretch of zeros. That is linear: the sum of what its bytes become.
class Shift {
 public:
  __attribute__((target("sse4.2"))) Shift() noexcept {
    for (std::size_t place = 0; place < table_.size(); ++place) {
      for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint64_t crc = byte << (8 * place);
        for (std::size_t i = 0; i < kStretch; i += 8) crc = _mm_crc32_u64(crc, 0);
        table_[place][byte] = static_cast<std::uint32_t>(crc);
      }
    }
  }

  std::uint64_t operator()(std::uint64_t crc) const noexcept {
    return table_[0][crc & 0xff] ^ table_[1][crc >> 8 & 0xff] ^ table_[2][crc >> 16 & 0xff] ^
           table_[3][crc >> 24 & 0xff];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> table_;
};

__attribute__((target("sse4.2"))) std::uint32_t Crc32cBySse(std::uint32_t salt,
                                                            std::string_view bytes) noexcept {
  static const Shift shift;
  std::uint64_t crc = _mm_crc32_u32(0xFFFFFFFF, salt);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 3 * kStretch; at += 3 * kStretch, left -= 3 * kStretch) {
    std::uint64_t second = 0, third = 0;
    for (const char *end = at + kStretch, *word = at; word < end; word += 8) {
      crc = _mm_crc32_u64(crc, WordAt(word));
      second = _mm_crc32_u64(second, WordAt(word + kStretch));
      third = _mm_crc32_u64(third, WordAt(word + 2 * kStretch));
    }
    crc = shift(shift(crc) ^ second) ^ third;
  }
  for (; left >= 8; at += 8, left -= 8) {
    crc = _mm_crc32_u64(crc, WordAt(at));
  }
  auto last = static_cast<std::uint32_t>(crc);
  for (; left > 0; ++at, --left) last = _mm_crc32_u8(last, static_cast<unsigned char>(*at));
  return ~last;
}

}  // namespace

std::uint32_t Crc32c(std::uint32_t salt, std::string_view bytes) noexcept {
  static const bool has_sse = __builtin_cpu_supports("sse4.2") != 0;
  return has_sse ? Crc32cBySse(salt, bytes) : Crc32cByTable(salt, bytes);
}
#else
std::uint32_t Crc32c(std::uint32_t salt, std::string_view bytes) noexcept {
  return Crc32cByTable(salt, bytes);
}
#endif

}  // namespace weft::collector
