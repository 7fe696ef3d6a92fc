// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace weft::collector {

/// The CRC-32C of the four bytes of `salt` and then `bytes`.
///
/// Cost: about 0.15 ns a byte with SSE 4.2, 2 ns with the table.
std::uint32_t Crc32c(std::uint32_t salt, std::string_view bytes) noexcept;

/// What Crc32c uses on a machine without SSE 4.2.
std::uint32_t Crc32cByTable(std::uint32_t salt, std::string_view bytes) noexcept;

}  // namespace weft::collector
