// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/fiber/context.hpp>

namespace weft {
inline namespace v0 {
namespace internal {

/// What Inheriting does when a scheduler makes fibers ready and switches between them. One for each
/// scheduler, made and used on its thread.
class FiberSwitch {
 public:
  FiberSwitch() noexcept;
  ~FiberSwitch();
  FiberSwitch(const FiberSwitch&) = delete;
  FiberSwitch& operator=(const FiberSwitch&) = delete;

  /// `fiber` is about to be made ready. Before the algorithm hears of it, since another thread may
  /// run it then.
  void Awakened(boost::fibers::context* fiber) noexcept {
    if (fiber == running_) {
      Dispatched(fiber);
    } else if (fiber == yielded_) {
      yielded_ = nullptr;
    } else if (NeverWaited(fiber)) {
      Adopt(fiber, running_);
    }
  }

  /// The algorithm goes on: who yielded has been made ready by now.
  void Settle() noexcept { yielded_ = nullptr; }

  /// The thread is about to switch to `next`.
  void Picked(boost::fibers::context* next) noexcept;

 private:
  static bool NeverWaited(const boost::fibers::context* fiber) noexcept {
    return fiber->waker_epoch_.load(std::memory_order_relaxed) == 0 &&
           fiber->is_context(boost::fibers::type::worker_context);
  }
  static void Adopt(boost::fibers::context* child, boost::fibers::context* parent) noexcept;
  void Dispatched(boost::fibers::context* parent) noexcept;

  boost::fibers::context* running_;
  // Ran before `running_` and may have yielded; then it is made ready first of all, and is not new.
  // Null as soon as it may have ended, since a new fiber may come to lie where it was.
  boost::fibers::context* yielded_ = nullptr;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
