// SPDX-License-Identifier: Apache-2.0
#include <weft/async/fiber_operation.h>

#include <utility>

#include <boost/fiber/context.hpp>

namespace weft {
inline namespace v0 {

void FiberOperation::Complete(bool ok) noexcept {
  boost::fibers::detail::spinlock_lock lock(lock_);
  ok_ = ok;
  completed_ = true;
  waiter_.notify_one();
}

bool FiberOperation::Await() noexcept {
  boost::fibers::detail::spinlock_lock lock(lock_);
  while (!completed_) {
    waiter_.suspend_and_wait(lock, boost::fibers::context::active());
    // Returns unlocked. Complete may still hold the lock on another thread, and this object may end
    // with the caller's next statement.
    lock.lock();
  }
  completed_ = false;
  return ok_;
}

}  // namespace v0
}  // namespace weft
