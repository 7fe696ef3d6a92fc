// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>

namespace weft::collector {

/// When the next client that is refused for a while may come again: after 1, 2, 3, 4 or 5 s in
/// turn, for those that were refused together should not come back together.
inline std::chrono::seconds NextRetryTurn() noexcept {
  static std::atomic<unsigned> turn{0};
  return std::chrono::seconds(1 + turn.fetch_add(1, std::memory_order_relaxed) % 5);
}

}  // namespace weft::collector
