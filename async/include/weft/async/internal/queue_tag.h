// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
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

/// What a tag of a ContextCompletionQueue points to: the context of one operation, and either the
/// user's pointer or a callable. One cache line.
struct alignas(64) QueueTag {
  static constexpr std::size_t kPayloadBytes = 40;
  using Run = void (*)(QueueTag*, bool ok);

  Context context;
  Run run = nullptr;  // null: `payload` begins with the user's pointer
  QueueTag* next_free = nullptr;
  alignas(void*) std::array<std::byte, kPayloadBytes> payload;
};
static_assert(sizeof(QueueTag) == 64);

/// From and to a pool that the threads share in batches, since most tags are made on one thread and
/// come out on another.
QueueTag* TakeQueueTag() noexcept;
void GiveQueueTag(QueueTag* tag) noexcept;

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

template <typename F>
QueueTag* MakeCallableTag(Context context, F&& function) {
  using Function = std::decay_t<F>;
  constexpr bool kFits =
      sizeof(Function) <= QueueTag::kPayloadBytes && alignof(Function) <= alignof(void*);
  using Payload = std::conditional_t<kFits, Function, std::unique_ptr<Function>>;
  QueueTag* const tag = TakeQueueTag();
  tag->context = std::move(context);
  if constexpr (kFits) {
    new (tag->payload.data()) Payload(std::forward<F>(function));
  } else {
    new (tag->payload.data()) Payload(std::make_unique<Function>(std::forward<F>(function)));
  }
  tag->run = [](QueueTag* self, bool ok) {
    auto* const stored = std::launder(reinterpret_cast<Payload*>(self->payload.data()));
    Payload own(std::move(*stored));
    stored->~Payload();
    const ContextScope scope(std::move(self->context));
    GiveQueueTag(self);  // before the call: what it starts may use it again
    if constexpr (kFits) {
      own(ok);
    } else {
      (*own)(ok);
    }
  };
  BeforeQueue(tag);
  return tag;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
