// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft {
inline namespace v0 {
namespace internal {

struct StackSlot;

// A stack that no thread and no Boost.Fiber knows of.
struct RegisteredStack {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
  StackSlot* slot = nullptr;
};

// False: it overlaps with one that is registered, or memory is out, which is counted.
bool AddRegisteredStack(const RegisteredStack& stack) noexcept;
// The slot of the stack that ends at `high`, or null.
StackSlot* RemoveRegisteredStack(std::uintptr_t high) noexcept;
// The stack that `address` lies in; with a null slot, none.
RegisteredStack FindRegisteredStack(std::uintptr_t address) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
