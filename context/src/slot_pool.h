// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>

#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {

// The slots of fibers, coroutines and registered stacks. Its memory is never given back to the
// system; see StackSlot.
class SlotPool {
 public:
  constexpr SlotPool() noexcept = default;

  StackSlot* Take(const void* owner) noexcept;  // null when memory is out
  // In two steps: first, when the stack ends, no thread may find the slot any more.
  static void Leave(StackSlot* slot) noexcept;
  void Give(StackSlot* slot) noexcept;

  std::uint64_t live() noexcept;
  std::uint64_t total() noexcept;

 private:
  static constexpr int kSlotsPerBlock = 31;  // with the header just under a page of 4 KiB
  struct Block {
    Block* next = nullptr;
    StackSlot slots[kSlotsPerBlock];
  };

  void Grow() noexcept;

  std::mutex mutex_;
  StackSlot* free_ = nullptr;
  Block* blocks_ = nullptr;  // keeps them reachable for leak checkers
  std::uint64_t live_ = 0;
  std::uint64_t total_ = 0;
};

// Trivially destroyed, hence usable in static destructors.
extern constinit SlotPool slot_pool;

}  // namespace internal
}  // namespace v0
}  // namespace weft
