// SPDX-License-Identifier: Apache-2.0
#include "log_crc32c.h"

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

__attribute__((target("sse4.2"))) std::uint32_t Crc32cBySse(std::uint32_t salt,
                                                            std::string_view bytes) noexcept {
  std::uint64_t crc = _mm_crc32_u32(0xFFFFFFFF, salt);
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    crc = _mm_crc32_u64(crc, word);
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
