// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {

/// A callable with the context it runs in; what `Bind` returns.
///
/// Can be called with what `Function` can be called with, and nothing else; is copyable, const and
/// `noexcept` where `Function` is.
///
/// Lifetime: like a lambda with captures it must not be destroyed by the function it calls, unless
///   it was called as an rvalue; the context that is current there is its own.
template <typename Function>
class Bound {
 public:
  template <typename F>
  Bound(Context context, F&& function) noexcept(std::is_nothrow_constructible_v<Function, F>)
      : context_(std::move(context)), function_(std::forward<F>(function)) {}

  template <typename... Args>
  requires std::invocable<Function&, Args...>
  decltype(auto) operator()(Args&&... args) & noexcept(
      std::is_nothrow_invocable_v<Function&, Args...>) {
    const internal::BorrowingScope scope(context_);
    return std::invoke(function_, std::forward<Args>(args)...);
  }

  template <typename... Args>
  requires std::invocable<const Function&, Args...>
  decltype(auto) operator()(Args&&... args) const& noexcept(
      std::is_nothrow_invocable_v<const Function&, Args...>) {
    const internal::BorrowingScope scope(context_);
    return std::invoke(function_, std::forward<Args>(args)...);
  }

  /// For the last call: lets go of the context when it returns.
  template <typename... Args>
  requires std::invocable<Function, Args...>
  decltype(auto) operator()(Args&&... args) && noexcept(
      std::is_nothrow_invocable_v<Function, Args...>) {
    const ContextScope scope(std::move(context_));
    return std::invoke(std::move(function_), std::forward<Args>(args)...);
  }

  const Function& function() const noexcept { return function_; }

 private:
  Context context_;
  [[no_unique_address]] Function function_;
};

/// Returns a callable that runs `function` with `context` current, on whatever stack calls it.
///
///     pool.submit(weft::Bind(context, [] { Work(); }));
///
/// A root `context` hides the one of the caller.
///
/// Lifetime: the result keeps `context` alive until it is destroyed; a callback that stays
///   registered holds on to its trace. Use `Detached` for those.
/// Threads: as thread-safe as `function`.
/// Cost: one atomic increment for each Bind and one decrement for each result that goes; a call is
/// a
///   scope.
template <typename Function>
auto Bind(Context context, Function&& function) {
  return Bound<std::decay_t<Function>>(std::move(context), std::forward<Function>(function));
}

/// Binds `function` to the context that is current now.
template <typename Function>
auto Bind(Function&& function) {
  return Bind(Context::Current(), std::forward<Function>(function));
}

namespace internal {
/// A context that holds nothing, for work that is meant to have none.
const Context& DetachedContext() noexcept;
/// Whether work has no context because Detached, and nobody since, said so.
bool IsDetached(ContextView context) noexcept;
}  // namespace internal

/// Returns a callable that runs `function` without a context: for timers, caches, connection
/// watchers and whatever else outlives the work that happened to start it.
template <typename Function>
auto Detached(Function&& function) {
  return Bind(internal::DetachedContext(), std::forward<Function>(function));
}

}  // namespace v0
}  // namespace weft
