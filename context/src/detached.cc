// SPDX-License-Identifier: Apache-2.0
#include <weft/context/bind.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr ContextKey<bool> kDetachedKey;

}  // namespace

const Context& DetachedContext() noexcept {
  // Never destroyed: detached work may run while statics are.
  static const Context* const kDetached = new Context(Context().With(kDetachedKey, true));
  return *kDetached;
}

bool IsDetached(ContextView context) noexcept { return context.Find(kDetachedKey) != nullptr; }

}  // namespace internal
}  // namespace v0
}  // namespace weft
