// SPDX-License-Identifier: Apache-2.0
#include <weft/async/fiber_operation.h>

#include <boost/fiber/context.hpp>

namespace weft {
inline namespace v0 {

// Once it is completed this object may end with the next statement of a fiber that had not begun to
// wait. One that waits runs on only when it is woken.
void FiberOperation::Complete(bool ok) noexcept {
  const State completed = ok ? State::kSucceeded : State::kFailed;
  if (state_.exchange(completed, std::memory_order_acq_rel) == State::kAwaited) waiter_.wake();
}

// Another thread may wake the fiber before it has suspended. It then enters the list of woken
// fibers of this thread's scheduler, which looks there only after it has switched away.
bool FiberOperation::Await() noexcept {
  State completed = state_.load(std::memory_order_acquire);
  if (completed == State::kStarted) {
    auto* const fiber = boost::fibers::context::active();
    waiter_ = fiber->create_waker();
    if (state_.compare_exchange_strong(completed, State::kAwaited, std::memory_order_acq_rel)) {
      fiber->suspend();
      completed = state_.load(std::memory_order_acquire);
    }
  }
  state_.store(State::kStarted, std::memory_order_relaxed);
  return completed == State::kSucceeded;
}

}  // namespace v0
}  // namespace weft
