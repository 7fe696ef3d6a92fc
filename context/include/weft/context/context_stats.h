// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft {
inline namespace v0 {

/// What the context store has seen in this process.
struct ContextStats {
  /// Scopes destroyed on another thread or fiber than the one that made them. Neither stack is
  /// touched, and one reference is kept for ever, since the first may still use the context. Also
  /// coroutines that went on elsewhere without their context; see CoroutineScope.
  std::uint64_t wrong_stack = 0;
  /// Scopes destroyed before one that they enclose. The context from before the outer one returns.
  std::uint64_t out_of_order = 0;
  /// Scopes destroyed after one that enclosed them. The current context stays, and one reference is
  /// kept for ever.
  std::uint64_t stale = 0;
  /// First looks from a stack that is neither the thread's nor a Boost fiber's nor registered, such
  /// as that of a Boost.Coroutine2. Such a coroutine shares the context of its thread; see
  /// RegisterExecutionContext.
  std::uint64_t foreign_stack = 0;
  /// Contexts not derived and scopes without effect because memory was out.
  std::uint64_t failed_allocations = 0;
  /// Fibers, coroutines and registered stacks that hold a place in the store now, and places that
  /// exist.
  std::uint64_t slots_live = 0;
  std::uint64_t slots_total = 0;

  static ContextStats Read() noexcept;
};

/// How a ContextScope was misused; the counters of the same names say what happens then.
enum class ContextMisuse : std::uint8_t { kWrongStack, kOutOfOrder, kStale };

using ContextMisuseHandler = void (*)(ContextMisuse) noexcept;

/// Has `handler` called where a misused scope is destroyed; null (the default): count only. A test
/// build may abort there to get the stack. Returns the handler from before.
///
/// Threads: any. The handler runs on the fiber that destroys the scope, and must not suspend it.
ContextMisuseHandler SetContextMisuseHandler(ContextMisuseHandler handler) noexcept;

}  // namespace v0
}  // namespace weft
