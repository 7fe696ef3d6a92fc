// SPDX-License-Identifier: Apache-2.0
#include <weft/context/coroutine.h>

#include <utility>

#include "context_counters.h"
#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {

CoroutineSlot::CoroutineSlot() noexcept : slot_(TakeInheritingSlot()) {
  if (slot_ != nullptr) slot_->suspended.store(true, std::memory_order_relaxed);
}

void CoroutineSlot::Enter() noexcept {
  running_ = true;
  if (slot_ != nullptr && !LayOver(slot_)) ReportMisuse(ContextMisuse::kWrongStack);
}

Context CoroutineSlot::Suspend() noexcept {
  Context current = Context::Current();
  TakeOffHere();
  running_ = false;
  return current;
}

void CoroutineSlot::End() noexcept {
  if (slot_ == nullptr) return;
  // Left on a stack of another thread it cannot be taken back from there: that stack keeps it.
  if (TakeOffHere()) GiveSlot(slot_);
  slot_ = nullptr;
}

bool CoroutineSlot::TakeOffHere() noexcept {
  if (slot_ == nullptr || slot_->suspended.load(std::memory_order_acquire) || TakeOff(slot_))
    return true;
  ReportMisuse(ContextMisuse::kWrongStack);
  return false;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
