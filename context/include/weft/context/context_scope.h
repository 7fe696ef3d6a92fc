// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <weft/context/context.h>

namespace weft {
inline namespace v0 {
namespace internal {
struct StackSlot;

/// A ContextScope that shares nothing: whoever makes it keeps the context alive.
class [[nodiscard]] BorrowingScope final {
 public:
  explicit BorrowingScope(ContextView context) noexcept;
  ~BorrowingScope();

  BorrowingScope(const BorrowingScope&) = delete;
  BorrowingScope& operator=(const BorrowingScope&) = delete;
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

 private:
  void Close() noexcept;
  void CloseElsewhere() noexcept;
  void CloseOutOfTurn() noexcept;

  ContextNode* const node_;
  StackSlot* const slot_;  // null: the scope has no effect
  ContextNode* previous_ = nullptr;
  std::uint64_t number_ = 0;
  std::uint64_t previous_number_ = 0;
};
}  // namespace internal

/// Makes a `Context` current for the calling fiber, until the end of a block.
///
///     weft::ContextScope scope(context);
///     stub->Ask(&rpc, question, &answer);  // leaves with `context` as its parent
///
/// A thread that runs no fibers counts as one fiber. A scope of the root context hides the
/// surrounding one.
///
/// Lifetime: a local variable only. The scopes of a fiber nest, and each is destroyed on the fiber
///   that made it. A scope may stay open while its fiber waits.
/// Ownership: the scope shares the context; the caller's copy may go first.
/// Threads: a fiber never sees the scope of another fiber, so there is nothing to synchronise. Work
///   handed to another fiber, thread or completion queue starts without a context; see `Bind`.
/// Errors: none. Breaking the rules of Lifetime is a bug of the caller. It is counted and told to
///   the handler of context_stats.h, which also says what happens then; nothing dangles.
/// Cost: no allocation, but for the first scope of a fiber, which gets the fiber a place in the
///   store; if that fails the scope has no effect. bench/context_benchmark.cc has the times.
class [[nodiscard]] ContextScope final {
 public:
  explicit ContextScope(Context context) noexcept
      : context_(std::move(context)), scope_(context_) {}

  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

 private:
  const Context context_;
  const internal::BorrowingScope scope_;
};

}  // namespace v0
}  // namespace weft
