// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/seeded_ids.h>

namespace weft {
inline namespace v0 {
namespace testing {

RunId SeededIds::New(std::chrono::system_clock::time_point start) noexcept {
  RunId id;
  const auto put = [&id](std::size_t at, std::size_t width, std::uint64_t value) {
    for (std::size_t i = width; i > 0; --i, value >>= 8) {
      id.bytes[at + i - 1] = static_cast<std::uint8_t>(value);
    }
  };
  put(0, 6,
      static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(start.time_since_epoch()).count()));
  put(6, 2, 0x7000);
  put(8, 2, 0x8000 | (seed_ & 0x3fff));
  put(10, 6, ++count_);
  return id;
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
