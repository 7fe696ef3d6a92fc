// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <weft/context/internal/context_node.h>

namespace boost::fibers {
class context;
}  // namespace boost::fibers

namespace weft {
inline namespace v0 {
namespace internal {

// Where frames of one stack lie, in one word: two words could be read torn across two owners.
// Start in units of 16 bytes above bit 20, length in units of 16 bytes below; so at most 16 MiB of
// the upper end. What lies below is found the slow way.
class StackRange {
 public:
  static std::uint64_t Pack(std::uintptr_t low, std::uintptr_t high) noexcept {
    constexpr std::uintptr_t kMaxLength = kLengthMask << 4;
    if (high <= low) return 0;
    if (high - low > kMaxLength) low = high - kMaxLength;
    low = (low + 15) & ~std::uintptr_t{15};
    return (std::uint64_t{low >> 4} << kLengthBits) | ((high - low) >> 4);
  }
  static bool Contains(std::uint64_t range, std::uintptr_t address) noexcept {
    return (address >> 4) - (range >> kLengthBits) < (range & kLengthMask);
  }

 private:
  static constexpr int kLengthBits = 20;
  static constexpr std::uint64_t kLengthMask = (1U << kLengthBits) - 1;
};

// What the C++ runtime keeps for each thread, though it belongs to a stack. The layout is that of
// the Itanium ABI.
struct ExceptionState {
  void* caught = nullptr;
  unsigned int uncaught = 0;

  bool empty() const noexcept { return caught == nullptr && uncaught == 0; }
};

// The mutable cell of one stack: a thread's own, a fiber's, or one that was registered. Reads and
// scopes touch its first cache line only.
//
// A coroutine has a slot, too. While it runs, its slot lies over the one of the stack: it has taken
// over the range, so that lookups end at it, and the one below has none.
//
// The memory of a slot goes back to a pool and is never unmapped. So the pointer that another
// thread has cached may be read at any time, and the range says whether it still means the same
// stack.
struct alignas(64) StackSlot {
  std::atomic<std::uint64_t> range{0};
  ContextNode* current = nullptr;  // borrowed from the innermost scope
  // Scopes are numbered through the life of the slot, over all its owners, so that no two can be
  // taken for one another.
  std::uint64_t innermost = 0;    // number of the innermost open scope, 0 for none
  std::uint64_t last_number = 0;  // of any scope so far
  // Scopes up to this number may have been cut off: by an outer one that was closed first, or since
  // their fiber ended.
  std::uint64_t cut_off = 0;
  std::atomic<const void*> owner{nullptr};  // the fiber, for slots of the pool
  StackSlot* next_free = nullptr;
  StackSlot* above = nullptr;  // the coroutine that runs on this stack or in this coroutine

  alignas(64) ContextNode* base = nullptr;  // owned: what the stack or coroutine began with
  ExceptionState exceptions;                // of a fiber that does not run
  StackSlot* below = nullptr;               // of a coroutine, while it runs
  std::atomic<bool> suspended{false};       // true only for coroutines
};
static_assert(sizeof(StackSlot) == 128);

// The innermost coroutine that runs on the stack of `slot`, or `slot`.
inline StackSlot* Topmost(StackSlot* slot) noexcept {
  while (slot != nullptr && slot->above != nullptr) slot = slot->above;
  return slot;
}

// A slot that begins with the current context, or null when memory is out.
StackSlot* TakeInheritingSlot() noexcept;
// Gives it back and lets go of what it began with.
void GiveSlot(StackSlot* slot) noexcept;

// Lays a coroutine's slot over that of the calling stack. False: it still lies elsewhere.
bool LayOver(StackSlot* coroutine) noexcept;
// Takes it off, and what was left lying over it. False: it is not on the calling stack.
bool TakeOff(StackSlot* coroutine) noexcept;

// The slot of the calling stack. Null when it is a fiber that has none, or, with `create`, when
// memory is out. Must not be inlined: see CurrentNode().
StackSlot* FindSlot(bool create) noexcept;

// The slot of a fiber that no other thread runs, or of this thread's main or dispatcher context;
// without what lies over it.
StackSlot* FindSlotOf(boost::fibers::context* fiber, bool create) noexcept;

// Fibers end in a place where no foreign code may run, such as the destructors of a context. With
// `defer`, what a fiber of this thread began with is let go by the next ReleaseDeparted instead.
void DeferReleases(bool defer) noexcept;
void ReleaseDeparted() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
