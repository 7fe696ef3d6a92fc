// SPDX-License-Identifier: Apache-2.0
#include <weft/context/internal/fiber_switch.h>

#include <cxxabi.h>

#include <atomic>
#include <utility>

#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

namespace fibers = boost::fibers;

// How many fibers wait inside a handler. Mostly none, and then a switch looks nothing up. A fiber
// that brought its state here from another thread is ordered after its own increment.
constinit std::atomic<int> kept_states{0};

// Declared const by the C++ runtime, so the compiler may reuse the result on another thread.
[[gnu::noinline]] ExceptionState& ThreadExceptions() noexcept {
  asm volatile("");
  return *reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

// Without memory for a slot the state stays with the thread, as it does under other schedulers.
void KeepExceptions(fibers::context* fiber) noexcept {
  ExceptionState& exceptions = ThreadExceptions();
  if (exceptions.empty()) [[likely]]
    return;
  StackSlot* const slot = FindSlotOf(fiber, true);
  if (slot == nullptr) return;
  slot->exceptions = std::exchange(exceptions, {});
  kept_states.fetch_add(1, std::memory_order_relaxed);
}

void RestoreExceptions(fibers::context* fiber) noexcept {
  if (kept_states.load(std::memory_order_relaxed) == 0) [[likely]]
    return;
  StackSlot* const slot = FindSlotOf(fiber, false);
  if (slot == nullptr || slot->exceptions.empty()) return;
  ThreadExceptions() = std::exchange(slot->exceptions, {});
  kept_states.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace

FiberSwitch::FiberSwitch() noexcept : running_(fibers::context::active()) { DeferReleases(true); }
FiberSwitch::~FiberSwitch() { DeferReleases(false); }

void FiberSwitch::Adopt(fibers::context* child, fibers::context* parent) noexcept {
  const StackSlot* const from = Topmost(FindSlotOf(parent, false));
  if (from == nullptr || from->current == nullptr || FindSlotOf(child, false) != nullptr) return;
  StackSlot* const slot = FindSlotOf(child, true);
  if (slot == nullptr) return;
  Reference(from->current);
  slot->base = slot->current = from->current;
}

// launch::dispatch runs the child at once, past the algorithm; only then its parent is made ready,
// on the stack of the child.
void FiberSwitch::Dispatched(fibers::context* parent) noexcept {
  fibers::context* const child = fibers::context::active();
  if (child == parent) return;
  KeepExceptions(parent);
  Adopt(child, parent);
  running_ = child;
}

void FiberSwitch::Picked(fibers::context* next) noexcept {
  if (running_->is_context(fibers::type::dispatcher_context)) ReleaseDeparted();
  KeepExceptions(running_);
  RestoreExceptions(next);
  yielded_ = NeverWaited(running_) ? running_ : nullptr;
  running_ = next;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
