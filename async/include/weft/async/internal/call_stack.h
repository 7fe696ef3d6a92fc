// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <type_traits>

namespace weft {
inline namespace v0 {
namespace internal {

void RunOnCallStack(void (*step)(void*), void* argument);

/// Calls `f` on the stack that all fibers of this thread's CqScheduler have for it, or where it is:
/// outside of a scheduler, and while another fiber waits there.
///
/// Starting and ending a call goes deep into gRPC. With many calls under way each fiber's own stack
/// has left the cache meanwhile, and these frames are most of what a fiber touches of it.
template <typename F>
void OnCallStack(F&& f) {
  using Function = std::remove_reference_t<F>;
  RunOnCallStack([](void* function) { (*static_cast<Function*>(function))(); },
                 const_cast<void*>(static_cast<const void*>(std::addressof(f))));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
