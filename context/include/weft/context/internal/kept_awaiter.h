// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// The context of one coroutine.
class CoroutineSlot {
 public:
  /// With the current context. Without memory for a slot everything below does nothing.
  CoroutineSlot() noexcept;
  ~CoroutineSlot() { End(); }
  CoroutineSlot(const CoroutineSlot&) = delete;
  CoroutineSlot& operator=(const CoroutineSlot&) = delete;

  /// The coroutine runs on the calling stack.
  void Run() noexcept {
    if (!running_) Enter();
  }
  /// It does so no longer, and somebody else may resume it. Returns what was current in it.
  Context Suspend() noexcept;
  /// It will not run again. May be called once more.
  void End() noexcept;

 private:
  void Enter() noexcept;
  bool TakeOffHere() noexcept;

  StackSlot* slot_;
  bool running_ = false;
};

template <typename Awaitable>
decltype(auto) AwaiterOf(Awaitable&& awaitable) {
  if constexpr (requires { std::forward<Awaitable>(awaitable).operator co_await(); }) {
    return std::forward<Awaitable>(awaitable).operator co_await();
  } else if constexpr (requires { operator co_await(std::forward<Awaitable>(awaitable)); }) {
    return operator co_await(std::forward<Awaitable>(awaitable));
  } else {
    return std::forward<Awaitable>(awaitable);
  }
}

/// How Keep holds what it was given: a temporary may end before the await, if that is elsewhere.
template <typename Awaitable>
using Kept = std::conditional_t<std::is_lvalue_reference_v<Awaitable> ||
                                    !std::is_move_constructible_v<Awaitable>,
                                Awaitable&&, Awaitable>;

/// Awaits `Awaitable`, a value or reference, outside of the context of the coroutine.
template <typename Awaitable>
class [[nodiscard]] KeptAwaiter {
  using Awaiter = decltype(AwaiterOf(std::declval<Awaitable>()));

 public:
  KeptAwaiter(CoroutineSlot& context, Awaitable&& awaitable)
      : context_(context),
        awaitable_(std::forward<Awaitable>(awaitable)),
        awaiter_(AwaiterOf(std::forward<Awaitable>(awaitable_))) {}
  KeptAwaiter(const KeptAwaiter&) = delete;
  KeptAwaiter& operator=(const KeptAwaiter&) = delete;

  // NOLINTBEGIN(readability-identifier-naming)
  decltype(auto) await_ready() noexcept(noexcept(std::declval<Awaiter&>().await_ready())) {
    // Of two awaits in one expression g++ resumes none before it has suspended for both.
    context_.Run();
    return awaiter_.await_ready();
  }

  // Once the operation has started, another thread may resume the coroutine and even destroy it:
  // from there on nothing may lie in its frame. Not inlined, since clang before 17 moves the
  // variables of an inlined await_suspend into the frame.
  template <typename Promise>
  [[gnu::noinline]] auto await_suspend(std::coroutine_handle<Promise> coroutine) noexcept(
      noexcept(std::declval<Awaiter&>().await_suspend(coroutine)))
      -> decltype(std::declval<Awaiter&>().await_suspend(coroutine)) {
    if constexpr (noexcept(awaiter_.await_suspend(coroutine))) {
      const ContextScope scope(context_.Suspend());
      return awaiter_.await_suspend(coroutine);
    } else {
      try {
        const ContextScope scope(context_.Suspend());
        return awaiter_.await_suspend(coroutine);
      } catch (...) {
        // Then the coroutine was not suspended, and nobody has its handle.
        context_.Run();
        throw;
      }
    }
  }

  decltype(auto) await_resume() noexcept(noexcept(std::declval<Awaiter&>().await_resume())) {
    context_.Run();
    return awaiter_.await_resume();
  }
  // NOLINTEND(readability-identifier-naming)

 private:
  CoroutineSlot& context_;
  Awaitable awaitable_;
  Awaiter awaiter_;
};

/// The initial suspension, after which the coroutine runs for the first time.
template <typename Awaiter>
class [[nodiscard]] InitialAwaiter : public Awaiter {
 public:
  InitialAwaiter(CoroutineSlot& context, Awaiter&& awaiter) noexcept
      : Awaiter(std::move(awaiter)), context_(context) {}

  // NOLINTNEXTLINE(readability-identifier-naming)
  decltype(auto) await_resume() noexcept(noexcept(std::declval<Awaiter&>().await_resume())) {
    context_.Run();
    return Awaiter::await_resume();
  }

 private:
  CoroutineSlot& context_;
};

/// The final suspension, before which it has run for the last time.
template <typename Awaiter>
class [[nodiscard]] FinalAwaiter : public Awaiter {
 public:
  FinalAwaiter(CoroutineSlot& context, Awaiter&& awaiter) noexcept
      : Awaiter(std::move(awaiter)), context_(context) {}

  decltype(auto) await_ready() noexcept {  // NOLINT(readability-identifier-naming)
    context_.End();
    return Awaiter::await_ready();
  }

 private:
  CoroutineSlot& context_;
};

template <typename>
inline constexpr bool kIsInitialAwaiter = false;
template <typename Awaiter>
inline constexpr bool kIsInitialAwaiter<InitialAwaiter<Awaiter>> = true;
template <typename>
inline constexpr bool kIsFinalAwaiter = false;
template <typename Awaiter>
inline constexpr bool kIsFinalAwaiter<FinalAwaiter<Awaiter>> = true;

}  // namespace internal
}  // namespace v0
}  // namespace weft
