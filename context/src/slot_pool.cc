// SPDX-License-Identifier: Apache-2.0
#include "slot_pool.h"

#include <new>
#include <type_traits>

namespace weft {
inline namespace v0 {
namespace internal {

constinit SlotPool slot_pool;
static_assert(std::is_trivially_destructible_v<SlotPool>);

void SlotPool::Grow() noexcept {
  auto* block = new (std::nothrow) Block;
  if (block == nullptr) return;
  block->next = blocks_;
  blocks_ = block;
  for (StackSlot& slot : block->slots) {
    slot.next_free = free_;
    free_ = &slot;
  }
  total_ += kSlotsPerBlock;
}

StackSlot* SlotPool::Take(const void* owner) noexcept {
  std::lock_guard lock(mutex_);
  if (free_ == nullptr) Grow();
  if (free_ == nullptr) return nullptr;
  StackSlot* const slot = free_;
  free_ = slot->next_free;
  ++live_;
  slot->owner.store(owner, std::memory_order_relaxed);
  return slot;
}

void SlotPool::Leave(StackSlot* slot) noexcept {
  slot->range.store(0, std::memory_order_relaxed);
  slot->owner.store(nullptr, std::memory_order_relaxed);
  slot->current = nullptr;
  slot->innermost = 0;
  slot->cut_off = slot->last_number;
  slot->above = nullptr;
  slot->below = nullptr;
  slot->suspended.store(false, std::memory_order_relaxed);
}

void SlotPool::Give(StackSlot* slot) noexcept {
  Leave(slot);
  std::lock_guard lock(mutex_);
  slot->next_free = free_;
  free_ = slot;
  --live_;
}

std::uint64_t SlotPool::live() noexcept {
  std::lock_guard lock(mutex_);
  return live_;
}

std::uint64_t SlotPool::total() noexcept {
  std::lock_guard lock(mutex_);
  return total_;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
