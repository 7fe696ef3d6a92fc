// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include <weft/context/internal/kept_awaiter.h>

namespace weft {
inline namespace v0 {

/// Base of a promise type: its coroutines have a current context of their own, as a fiber has.
///
///     class Task {
///      public:
///       struct promise_type : weft::CoroutineContext<promise_type> {
///         auto initial_suspend() noexcept { return Initially(std::suspend_always()); }
///         auto final_suspend() noexcept { return Finally(std::suspend_always()); }
///         ...
///
///     Task Answer(...) {
///       weft::ContextScope scope(context);
///       auto documents = co_await Retrieve(question);  // leaves with `context` as its parent
///       Rank(documents);                               // sees `context`, on whatever thread
///     }
///
/// A coroutine begins with the context that is current where it is called. What it makes current
/// stays current in it, through every co_await and whichever thread or fiber resumes it, and is
/// never seen by who resumes it. An operation is started, in `await_suspend`, with the context of
/// the coroutine that awaits it.
///
/// - `Initially` and `Finally` are needed; without them it does not compile.
/// - Awaiters that the promise makes itself do not go through await_transform. A `yield_value`
///   returns `Keep(awaiter)`, and so does an await_transform of your own.
/// - An `unhandled_exception` that throws calls `Leave()` first: no `Finally` follows.
///
/// Lifetime: the coroutine lets go of its context at its final suspension. While it waits it may be
///   destroyed on any thread, which ends the scopes in its frame.
/// Errors: when memory is out a coroutine uses the context of who resumes it, which ContextStats
///   counts in `failed_allocations`.
/// Cost: an await that does not suspend costs nothing; bench/context_benchmark.cc has the others.
template <typename Promise>
class CoroutineContext {
 public:
  CoroutineContext() noexcept {
    static_assert(internal::kIsInitialAwaiter<decltype(std::declval<Promise&>().initial_suspend())>,
                  "initial_suspend() has to return Initially(awaiter)");
    static_assert(internal::kIsFinalAwaiter<decltype(std::declval<Promise&>().final_suspend())>,
                  "final_suspend() has to return Finally(awaiter)");
  }

  template <typename Awaitable>
  auto await_transform(Awaitable&& awaitable) {  // NOLINT(readability-identifier-naming)
    return internal::KeptAwaiter<Awaitable&&>(context_, std::forward<Awaitable>(awaitable));
  }

 protected:
  template <typename Awaiter>
  auto Initially(Awaiter awaiter) noexcept {
    return internal::InitialAwaiter<Awaiter>(context_, std::move(awaiter));
  }
  template <typename Awaiter>
  auto Finally(Awaiter awaiter) noexcept {
    return internal::FinalAwaiter<Awaiter>(context_, std::move(awaiter));
  }
  template <typename Awaitable>
  auto Keep(Awaitable&& awaitable) {
    return internal::KeptAwaiter<internal::Kept<Awaitable>>(context_,
                                                            std::forward<Awaitable>(awaitable));
  }
  void Leave() noexcept { context_.End(); }

 private:
  internal::CoroutineSlot context_;
};

/// Gives a coroutine a current context of its own until the end of a block: for coroutines whose
/// promise type is not yours.
///
///     cppcoro::task<Answer> Ask(...) {
///       weft::CoroutineScope coroutine;
///       weft::ContextScope scope(context);
///       auto documents = co_await coroutine.Keep(Retrieve(question));
///       Rank(documents);  // sees `context`, on whatever thread
///     }
///
/// It begins with the context that is current there, and is then as in `CoroutineContext`.
///
/// Lifetime: a local variable of a coroutine, before the scopes that are to last through an await.
///   As long as it lives every co_await of the coroutine goes through `Keep`. One that does not
///   leaves the context of the coroutine behind, as the current one of who resumed it; that is
///   counted as `wrong_stack` once the coroutine goes on elsewhere, and nothing dangles.
/// Limits: promise types that accept no awaiters but their own, such as `boost::asio::awaitable`.
///   There, take `Context::Current()` before the await and open a scope of it afterwards.
class [[nodiscard]] CoroutineScope final {
 public:
  CoroutineScope() noexcept { context_.Run(); }
  CoroutineScope(const CoroutineScope&) = delete;
  CoroutineScope& operator=(const CoroutineScope&) = delete;

  /// Awaits what `awaitable` does, with the same result.
  template <typename Awaitable>
  [[nodiscard]] auto Keep(Awaitable&& awaitable) {
    return internal::KeptAwaiter<internal::Kept<Awaitable>>(context_,
                                                            std::forward<Awaitable>(awaitable));
  }

 private:
  internal::CoroutineSlot context_;
};

}  // namespace v0
}  // namespace weft
