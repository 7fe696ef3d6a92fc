// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {

bool AddExecutionContext(const void* low, const void* high) noexcept;
void RemoveExecutionContext(const void* high) noexcept;

}  // namespace internal

/// A stack with a current context of its own; what `RegisterExecutionContext` returns. Gives its
/// place back when it is destroyed.
class [[nodiscard]] ExecutionContext {
 public:
  constexpr ExecutionContext() noexcept = default;
  ExecutionContext(const ExecutionContext&) = delete;
  ExecutionContext& operator=(const ExecutionContext&) = delete;
  ExecutionContext(ExecutionContext&& other) noexcept
      : high_(std::exchange(other.high_, nullptr)) {}
  ExecutionContext& operator=(ExecutionContext&& other) noexcept {
    std::swap(high_, other.high_);
    return *this;
  }
  ~ExecutionContext() {
    if (high_ != nullptr) internal::RemoveExecutionContext(high_);
  }

  /// False when nothing is registered.
  explicit operator bool() const noexcept { return high_ != nullptr; }

 private:
  friend ExecutionContext RegisterExecutionContext(const void* low, const void* high) noexcept;
  explicit ExecutionContext(const void* high) noexcept : high_(high) {}

  const void* high_ = nullptr;
};

/// Makes the stack from `low` up to `high` an execution context of its own, which begins with the
/// current context: for coroutines with a stack that are not Boost fibers, such as those of
/// `ucontext`, Boost.Context or a runtime of your own. Without it they share the context of the
/// thread that they happen to run on.
///
///     auto registered = weft::RegisterExecutionContext(stack, stack + size);
///     makecontext(&coroutine, Body, 0);
///
/// What runs on that stack may wait, and go on on another thread, as a fiber may.
///
/// Lifetime: from before the coroutine begins until after it ended; not in a scope that the
///   coroutine has open. The memory of the stack is not touched.
/// Threads: any; the stack must not be running while its registration ends.
/// Errors: the result is false when the range is empty or overlaps with one that is registered, and
///   when memory is out, which ContextStats counts.
/// Cost: a search among the registered stacks whenever a thread has changed stacks; further lookups
///   are as fast as everywhere. bench/context_benchmark.cc has the times.
inline ExecutionContext RegisterExecutionContext(const void* low, const void* high) noexcept {
  return ExecutionContext(internal::AddExecutionContext(low, high) ? high : nullptr);
}

/// A stack allocator of Boost.Context whose stacks are execution contexts: for Boost.Coroutine2,
/// `boost::asio::spawn` and all others that take one.
///
///     boost::asio::spawn(io, std::allocator_arg,
///                        weft::ExecutionContextStack{boost::context::fixedsize_stack()},
///                        [](boost::asio::yield_context yield) { ... }, boost::asio::detached);
///
/// A coroutine begins with the context that is current where it is made. Not for Boost fibers,
/// which have a context of their own without it.
///
/// Threads: as `Allocator`.
template <typename Allocator>
class ExecutionContextStack {
 public:
  using traits_type = typename Allocator::traits_type;  // NOLINT(readability-identifier-naming)

  explicit ExecutionContextStack(Allocator allocator) : allocator_(std::move(allocator)) {}

  auto allocate() {  // NOLINT(readability-identifier-naming)
    auto stack = allocator_.allocate();
    internal::AddExecutionContext(static_cast<const char*>(stack.sp) - stack.size, stack.sp);
    return stack;
  }
  template <typename StackContext>
  void deallocate(StackContext& stack) noexcept {  // NOLINT(readability-identifier-naming)
    internal::RemoveExecutionContext(stack.sp);
    allocator_.deallocate(stack);
  }

 private:
  Allocator allocator_;
};

}  // namespace v0
}  // namespace weft
