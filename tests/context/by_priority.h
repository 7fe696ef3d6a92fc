// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/properties.hpp>
#include <boost/fiber/scheduler.hpp>

namespace weft {
inline namespace v0 {
namespace testing {

// A user's algorithm with properties of its own: fibers with a higher priority run first.
class Priority : public boost::fibers::fiber_properties {
 public:
  explicit Priority(boost::fibers::context* fiber) : fiber_properties(fiber) {}
  void Set(int value) {
    value_ = value;
    notify();
  }
  int value() const { return value_; }

 private:
  int value_ = 0;
};

class ByPriority : public boost::fibers::algo::algorithm_with_properties<Priority> {
 public:
  void awakened(boost::fibers::context* fiber, Priority& own) noexcept override {
    auto place = ready_.begin();
    while (place != ready_.end() && properties(&*place).value() >= own.value()) ++place;
    ready_.insert(place, *fiber);
  }
  boost::fibers::context* pick_next() noexcept override {
    if (ready_.empty()) return nullptr;
    boost::fibers::context* const next = &ready_.front();
    ready_.pop_front();
    return next;
  }
  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
  void property_change(boost::fibers::context* fiber, Priority& own) noexcept override {
    if (!fiber->ready_is_linked()) return;
    fiber->ready_unlink();
    awakened(fiber, own);
  }
  void suspend_until(const std::chrono::steady_clock::time_point& deadline) noexcept override {
    idle_.suspend_until(deadline);
  }
  void notify() noexcept override { idle_.notify(); }

 private:
  boost::fibers::scheduler::ready_queue_type ready_;
  boost::fibers::algo::round_robin idle_;
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
