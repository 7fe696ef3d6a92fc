// SPDX-License-Identifier: Apache-2.0
#include <weft/context/execution_context.h>

#include <cstdint>

#include "registered_stacks.h"
#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {

bool AddExecutionContext(const void* low, const void* high) noexcept {
  const RegisteredStack stack{.low = reinterpret_cast<std::uintptr_t>(low),
                              .high = reinterpret_cast<std::uintptr_t>(high),
                              .slot = high > low ? TakeInheritingSlot() : nullptr};
  if (stack.slot == nullptr) return false;
  if (AddRegisteredStack(stack)) return true;
  GiveSlot(stack.slot);
  return false;
}

void RemoveExecutionContext(const void* high) noexcept {
  StackSlot* const slot = RemoveRegisteredStack(reinterpret_cast<std::uintptr_t>(high));
  if (slot != nullptr) GiveSlot(slot);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
