// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <boost/context/protected_fixedsize_stack.hpp>
#include <boost/context/stack_context.hpp>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace weft {
inline namespace v0 {
namespace internal {

// Stacks of one thread, each with a guard page; those given back are handed out again, the last one
// first, since its pages are in the cache.
class StackPool {
 public:
  StackPool(std::size_t bytes, std::size_t most_idle) : source_(bytes), most_idle_(most_idle) {}
  ~StackPool() {
    for (auto& stack : idle_) Free(stack);
  }
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  boost::context::stack_context Take() {
    if (idle_.empty()) return source_.allocate();
    const boost::context::stack_context stack = idle_.back();
    idle_.pop_back();
    return stack;
  }
  void Give(boost::context::stack_context& stack) {
    if (idle_.size() < most_idle_) {
      idle_.push_back(stack);
    } else {
      Free(stack);
    }
  }

 private:
  void Free(boost::context::stack_context& stack) {
#if defined(__SANITIZE_ADDRESS__)
    // The last frames of a fiber never return: what AddressSanitizer has marked of them would be
    // held against whoever is given these pages next.
    __asan_unpoison_memory_region(static_cast<char*>(stack.sp) - stack.size, stack.size);
#endif
    source_.deallocate(stack);
  }

  boost::context::protected_fixedsize_stack source_;
  const std::size_t most_idle_;
  std::vector<boost::context::stack_context> idle_;
};

// In a fiber that runs on. AddressSanitizer does not know its stack, and keeps what it has marked
// of frames that an exception unwound, which did not return either.
[[gnu::noinline]] inline void ForgetUnwoundFrames() noexcept {
#if defined(__SANITIZE_ADDRESS__)
  constexpr std::size_t kDepth = std::size_t{64} << 10;
  __asan_unpoison_memory_region(static_cast<char*>(__builtin_frame_address(0)) - kDepth, kDepth);
#endif
}

// The stack allocator of a fiber. The pool outlives the scheduler, which frees stacks after their
// fibers.
class PooledStack {
 public:
  explicit PooledStack(StackPool* pool) noexcept : pool_(pool) {}
  boost::context::stack_context allocate() {  // NOLINT(readability-identifier-naming)
    return pool_->Take();
  }
  // NOLINTNEXTLINE(readability-identifier-naming)
  void deallocate(boost::context::stack_context& stack) { pool_->Give(stack); }

 private:
  StackPool* pool_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
