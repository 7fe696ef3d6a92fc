// SPDX-License-Identifier: Apache-2.0
#include "stack_slot.h"

#include <pthread.h>

#include <cstddef>
#include <utility>

#include <boost/fiber/context.hpp>

#include <weft/context/context_scope.h>
#include <weft/context/internal/borrowed_stack.h>

#include "context_counters.h"
#include "registered_stacks.h"
#include "slot_pool.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

namespace fibers = boost::fibers;

// Constant-initialised and trivially destroyed: usable from before main to the last destructor of a
// thread, without a guard.
struct ThreadState {
  StackSlot* last = nullptr;  // the slot that this thread used last
  std::uintptr_t native_low = 0;
  std::uintptr_t native_length = 0;  // 0: not known yet
  std::uintptr_t borrowed_low = 0;
  std::uintptr_t borrowed_length = 0;   // 0: none is; see BorrowedStack
  std::uintptr_t borrower_address = 0;  // in the borrower's own stack
  StackSlot* borrower = nullptr;        // null: not looked for so far
  std::uint64_t borrowers_range = 0;
  StackSlot* departed = nullptr;  // those with a base; see DeferReleases
  bool defers_releases = false;
  StackSlot native;
  StackSlot dispatcher;  // of the thread's Boost.Fiber scheduler
};
constinit thread_local ThreadState this_thread;

void FindNativeStack(ThreadState& thread) noexcept {
  void* low = nullptr;
  std::size_t length = 0;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &low, &length);
    pthread_attr_destroy(&attributes);
  }
  thread.native_low = reinterpret_cast<std::uintptr_t>(low);
  // Unknown bounds: every stack counts as the thread's, so that no scheduler comes into being.
  thread.native_length = length != 0 ? length : ~std::uintptr_t{0};
  thread.native.range.store(
      StackRange::Pack(thread.native_low, thread.native_low + thread.native_length),
      std::memory_order_relaxed);
}

// On the main thread FindNativeStack parses the process map (58 us): better now than in a request.
[[maybe_unused]] const bool main_thread_is_known = (FindNativeStack(this_thread), true);

// The address of this object is the key of our fiber-specific value.
char fiber_key;

// Runs while the fiber holds its own spin lock: must be short, and must not run foreign code.
class GiveBack final : public fibers::detail::fss_cleanup_function {
 public:
  void operator()(void* data) override {
    if (data != nullptr) End(static_cast<StackSlot*>(data));
  }

 private:
  static void End(StackSlot* slot) noexcept {
    ThreadState& thread = this_thread;  // nothing below suspends
    if (slot->base == nullptr || !thread.defers_releases) return GiveSlot(slot);
    SlotPool::Leave(slot);
    slot->next_free = std::exchange(thread.departed, slot);
  }
};

// Never destroyed: fibers may end in static destructors.
const GiveBack::ptr_t& Cleanup() {
  static const auto* const cleanup = new GiveBack::ptr_t(new GiveBack);
  return *cleanup;
}

StackSlot* CreateFiberSlot(fibers::context* fiber) noexcept {
  StackSlot* const slot = slot_pool.Take(fiber);
  try {
    if (slot != nullptr) {
      fiber->set_fss_data(&fiber_key, Cleanup(), slot, false);
      return slot;
    }
  } catch (...) {
    slot_pool.Give(slot);
  }
  CountFailedAllocation();
  return nullptr;
}

StackSlot* FindFiberSlot(fibers::context* fiber, bool create) noexcept {
  auto* const slot = static_cast<StackSlot*>(fiber->get_fss_data(&fiber_key));
  if (slot == nullptr) return create ? CreateFiberSlot(fiber) : nullptr;
  // Another owner: this fiber is ending, our cleanup has run, and somebody else's asks.
  return slot->owner.load(std::memory_order_relaxed) == fiber ? slot : nullptr;
}

// The stack of `address` is not the thread's own. Only here Boost.Fiber is asked: on a thread that
// runs no fibers the question alone would create a scheduler (130 KiB).
StackSlot* FindOnOtherStack(ThreadState& thread, std::uintptr_t address, bool create) noexcept {
  fibers::context* const fiber = fibers::context::active();
  if (fiber == nullptr || fiber->is_context(fibers::type::main_context)) {
    counters.foreign_stack.fetch_add(1, std::memory_order_relaxed);
    return Topmost(&thread.native);
  }
  StackSlot* const slot =
      Topmost(fiber->is_context(fibers::type::dispatcher_context) ? &thread.dispatcher
                                                                  : FindFiberSlot(fiber, create));
  if (slot == nullptr) return nullptr;
  if (!StackRange::Contains(slot->range.load(std::memory_order_relaxed), address)) {
    // The context of a fiber lies at the upper end of its stack. Our own frame is below `address`.
    slot->range.store(StackRange::Pack(address - 64, reinterpret_cast<std::uintptr_t>(fiber)),
                      std::memory_order_relaxed);
  }
  return thread.last = slot;
}

// Until it is back on its own stack, the borrower's slot has the range of the borrowed one.
void LendTo(ThreadState& thread, StackSlot* slot) noexcept {
  thread.borrower = slot;
  thread.borrowers_range = slot->range.load(std::memory_order_relaxed);
  slot->range.store(
      StackRange::Pack(thread.borrowed_low, thread.borrowed_low + thread.borrowed_length),
      std::memory_order_relaxed);
}

// For a stack whose bounds are known.
StackSlot* Use(ThreadState& thread, StackSlot* stack, std::uintptr_t address, std::uintptr_t low,
               std::uintptr_t high) noexcept {
  StackSlot* const slot = Topmost(stack);
  if (!StackRange::Contains(slot->range.load(std::memory_order_relaxed), address)) {
    slot->range.store(StackRange::Pack(low, high), std::memory_order_relaxed);
  }
  return thread.last = slot;
}

[[gnu::noinline]] StackSlot* FindSlow(std::uintptr_t address, bool create) noexcept {
  asm volatile("");
  ThreadState& thread = this_thread;  // nothing below suspends
  if (thread.native_length == 0) FindNativeStack(thread);
  if (address - thread.native_low < thread.native_length) {
    return Use(thread, &thread.native, address, thread.native_low,
               thread.native_low + thread.native_length);
  }
  if (address - thread.borrowed_low < thread.borrowed_length) {
    if (thread.borrower == nullptr) {
      StackSlot* const slot = FindSlow(thread.borrower_address, create);
      if (slot == nullptr) return nullptr;
      LendTo(thread, slot);
    }
    return thread.last = Topmost(thread.borrower);
  }
  if (const RegisteredStack stack = FindRegisteredStack(address); stack.slot != nullptr) {
    return Use(thread, stack.slot, address, stack.low, stack.high);
  }
  return FindOnOtherStack(thread, address, create);
}

// For functions that are never inlined.
[[gnu::always_inline]] inline StackSlot* LookupHere(bool create) noexcept {
  asm volatile("");
  const auto address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  StackSlot* const slot = this_thread.last;
  if (slot != nullptr && StackRange::Contains(slot->range.load(std::memory_order_relaxed), address))
      [[likely]] {
    return slot;
  }
  return FindSlow(address, create);
}

void MoveRange(StackSlot* from, StackSlot* to) noexcept {
  to->range.store(from->range.load(std::memory_order_relaxed), std::memory_order_relaxed);
  from->range.store(0, std::memory_order_relaxed);
}

// Whether `slot` is `top` or lies below it.
bool LiesIn(const StackSlot* slot, const StackSlot* top) noexcept {
  while (top != nullptr && top != slot) top = top->below;
  return top != nullptr;
}

}  // namespace

[[gnu::noinline]] StackSlot* FindSlot(bool create) noexcept { return LookupHere(create); }

[[gnu::noinline]] StackSlot* FindSlotOf(fibers::context* fiber, bool create) noexcept {
  asm volatile("");
  if (fiber->is_context(fibers::type::worker_context)) return FindFiberSlot(fiber, create);
  ThreadState& thread = this_thread;  // nothing below suspends
  return fiber->is_context(fibers::type::main_context) ? &thread.native : &thread.dispatcher;
}

StackSlot* TakeInheritingSlot() noexcept {
  ContextNode* const current = CurrentNode();
  StackSlot* const slot = slot_pool.Take(nullptr);
  if (slot == nullptr) {
    CountFailedAllocation();
    return nullptr;
  }
  Reference(current);
  slot->base = slot->current = current;
  return slot;
}

void GiveSlot(StackSlot* slot) noexcept {
  ContextNode* const base = std::exchange(slot->base, nullptr);
  slot_pool.Give(slot);
  Release(base);
}

[[gnu::noinline]] bool LayOver(StackSlot* coroutine) noexcept {
  asm volatile("");
  if (!coroutine->suspended.load(std::memory_order_acquire)) return false;
  StackSlot* const below = FindSlot(true);
  if (below == nullptr) return true;
  coroutine->suspended.store(false, std::memory_order_relaxed);
  coroutine->below = below;
  below->above = coroutine;
  // Emptied, so that no thread which used the slot below finds it once the stack has moved there.
  MoveRange(below, coroutine);
  this_thread.last = coroutine;
  return true;
}

[[gnu::noinline]] bool TakeOff(StackSlot* coroutine) noexcept {
  asm volatile("");
  StackSlot* const top = FindSlot(false);
  if (!LiesIn(coroutine, top)) return false;
  StackSlot* const bottom = coroutine->below;
  StackSlot* slot = top;
  while (slot != bottom) {
    StackSlot* const below = slot->below;
    MoveRange(slot, below);
    below->above = nullptr;
    slot->below = nullptr;
    // Who destroys the coroutine may do so on another thread.
    slot->suspended.store(true, std::memory_order_release);
    slot = below;
  }
  this_thread.last = bottom;
  return true;
}

[[gnu::noinline]] void DeferReleases(bool defer) noexcept {
  asm volatile("");
  ReleaseDeparted();
  this_thread.defers_releases = defer;
}

[[gnu::noinline]] void ReleaseDeparted() noexcept {
  asm volatile("");
  StackSlot* slot = std::exchange(this_thread.departed, nullptr);
  while (slot != nullptr) GiveSlot(std::exchange(slot, slot->next_free));
}

[[gnu::noinline]] BorrowedStack::BorrowedStack(const void* low, const void* high) noexcept {
  asm volatile("");
  ThreadState& thread = this_thread;  // nothing below suspends
  thread.borrowed_low = reinterpret_cast<std::uintptr_t>(low);
  thread.borrowed_length = reinterpret_cast<std::uintptr_t>(high) - thread.borrowed_low;
  thread.borrower_address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  StackSlot* const slot = thread.last;
  if (slot != nullptr &&
      StackRange::Contains(slot->range.load(std::memory_order_relaxed), thread.borrower_address)) {
    LendTo(thread, slot);
  }
}

[[gnu::noinline]] BorrowedStack::~BorrowedStack() {
  asm volatile("");
  ThreadState& thread = this_thread;  // nothing below suspends
  thread.borrowed_length = 0;
  StackSlot* const slot = std::exchange(thread.borrower, nullptr);
  if (slot == nullptr) return;
  slot->range.store(thread.borrowers_range, std::memory_order_relaxed);
  thread.last = slot;
}

// A fiber without a slot has the root as its context: a scope of the root needs none either.
[[gnu::noinline]] BorrowingScope::BorrowingScope(ContextView context) noexcept
    : node_(context.node_), slot_(LookupHere(node_ != nullptr)) {
  if (slot_ == nullptr) return;
  previous_ = std::exchange(slot_->current, node_);
  number_ = ++slot_->last_number;
  previous_number_ = std::exchange(slot_->innermost, number_);
}

[[gnu::noinline]] BorrowingScope::~BorrowingScope() {
  if (slot_ == nullptr) return;
  if (LookupHere(false) != slot_) {
    CloseElsewhere();
  } else {
    Close();
  }
}

void BorrowingScope::Close() noexcept {
  if (slot_->innermost != number_) return CloseOutOfTurn();
  slot_->current = previous_;
  slot_->innermost = previous_number_;
}

[[gnu::noinline]] ContextNode* CurrentNode() noexcept {
  StackSlot* const slot = LookupHere(false);
  return slot != nullptr ? slot->current : nullptr;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
