// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace weft {
inline namespace v0 {
namespace internal {

/// What a tag of a ContextCompletionQueue points to: the context of one operation with the user's
/// pointer, or with a callable that follows in memory. The thread that polls does not write to it,
/// so that its cache line is copied from one processor to another only once.
struct alignas(16) QueueTag {
  using Run = void (*)(QueueTag*, bool ok);

  ContextNode* context;  // owned
  union {
    void* operation;
    Run run;
  };
};
static_assert(sizeof(QueueTag) == 16);

/// Larger callables have memory of their own.
inline constexpr std::size_t kMostQueueTagBytes = 128;

/// Memory for one, and back. `bytes` is a multiple of 16, at most kMostQueueTagBytes, and the same
/// in both.
QueueTag* TakeQueueTag(std::size_t bytes) noexcept;
void GiveQueueTag(QueueTag* tag, std::size_t bytes) noexcept;

/// The queue orders what was done before a tag was handed to it and what is done when the tag comes
/// out. As gRPC's library is not instrumented, ThreadSanitizer must be told.
inline void BeforeQueue([[maybe_unused]] QueueTag* tag) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(tag);
#endif
}
inline void AfterQueue([[maybe_unused]] QueueTag* tag) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(tag);
#endif
}

inline void* MakeTag(Context context, void* operation) noexcept {
  QueueTag* const tag = TakeQueueTag(sizeof(QueueTag));
  tag->context = ContextReference::Take(std::move(context));
  tag->operation = operation;
  BeforeQueue(tag);
  return tag;
}

// The lowest bit of the address tells a tag with a callable.
inline constexpr std::uintptr_t kCallableBit = 1;

template <typename F>
void* MakeCallableTag(Context context, F&& function) {
  using Function = std::decay_t<F>;
  constexpr bool kFits = sizeof(QueueTag) + sizeof(Function) <= kMostQueueTagBytes &&
                         alignof(Function) <= alignof(QueueTag) &&
                         std::is_nothrow_constructible_v<Function, F> &&
                         std::is_nothrow_move_constructible_v<Function>;
  if constexpr (!kFits) {
    return MakeCallableTag(
        std::move(context),
        [own = std::make_unique<Function>(std::forward<F>(function))](bool ok) { (*own)(ok); });
  } else {
    struct CallableTag : QueueTag {
      alignas(QueueTag) std::byte payload[sizeof(Function)];
    };
    QueueTag* const tag = TakeQueueTag(sizeof(CallableTag));
    tag->context = ContextReference::Take(std::move(context));
    new (static_cast<CallableTag*>(tag)->payload) Function(std::forward<F>(function));
    tag->run = [](QueueTag* self, bool ok) {
      auto* const stored =
          std::launder(reinterpret_cast<Function*>(static_cast<CallableTag*>(self)->payload));
      Function own(std::move(*stored));
      stored->~Function();
      const ContextScope scope(ContextReference::Give(self->context));
      GiveQueueTag(self, sizeof(CallableTag));  // before the call, which may take it again
      own(ok);
    };
    BeforeQueue(tag);
    return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(tag) | kCallableBit);
  }
}

/// What came out of the queue: runs it if it is a callable, and hands out the rest otherwise.
/// Returns whether it did the latter.
inline bool TakeTag(void* address, bool ok, void** operation, Context* context) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address);
  auto* const tag = reinterpret_cast<QueueTag*>(bits & ~kCallableBit);
  AfterQueue(tag);
  if ((bits & kCallableBit) != 0) {
    tag->run(tag, ok);
    return false;
  }
  *operation = tag->operation;
  *context = ContextReference::Give(tag->context);
  GiveQueueTag(tag, sizeof(QueueTag));
  return true;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
