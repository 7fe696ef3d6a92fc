// SPDX-License-Identifier: Apache-2.0
#include "registered_stacks.h"

#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>

#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

struct Registry {
  std::shared_mutex mutex;
  std::map<std::uintptr_t, RegisteredStack> stacks;  // by their upper end
};

// Never destroyed: a lookup may come from a static destructor.
Registry& TheRegistry() {
  static auto* const registry = new Registry;
  return *registry;
}

// Programs that register nothing ask no further. Who runs on a stack is ordered after the thread
// that registered it.
constinit std::atomic<std::uint64_t> count{0};

}  // namespace

bool AddRegisteredStack(const RegisteredStack& stack) noexcept {
  try {
    Registry& registry = TheRegistry();
    std::unique_lock lock(registry.mutex);
    const auto next = registry.stacks.upper_bound(stack.low);
    if (next != registry.stacks.end() && next->second.low < stack.high) return false;
    registry.stacks.emplace_hint(next, stack.high, stack);
    count.fetch_add(1, std::memory_order_relaxed);
    return true;
  } catch (...) {
    CountFailedAllocation();
    return false;
  }
}

StackSlot* RemoveRegisteredStack(std::uintptr_t high) noexcept {
  if (count.load(std::memory_order_relaxed) == 0) return nullptr;
  Registry& registry = TheRegistry();
  std::unique_lock lock(registry.mutex);
  const auto found = registry.stacks.find(high);
  if (found == registry.stacks.end()) return nullptr;
  StackSlot* const slot = found->second.slot;
  registry.stacks.erase(found);
  count.fetch_sub(1, std::memory_order_relaxed);
  return slot;
}

RegisteredStack FindRegisteredStack(std::uintptr_t address) noexcept {
  if (count.load(std::memory_order_relaxed) == 0) return {};
  Registry& registry = TheRegistry();
  std::shared_lock lock(registry.mutex);
  const auto found = registry.stacks.upper_bound(address);
  if (found == registry.stacks.end() || address < found->second.low) return {};
  return found->second;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
