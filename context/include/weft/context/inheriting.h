// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <utility>

#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/scheduler.hpp>
#include <boost/intrusive_ptr.hpp>

#include <weft/context/internal/fiber_switch.h>

namespace weft {
inline namespace v0 {

/// A scheduling algorithm for Boost fibers that runs them as `Algorithm` does, and
///
/// - lets every new fiber inherit the context of the one that makes it, as if by `Spawn`: for code
///   of others that makes fibers;
/// - keeps the C++ exception state with each fiber, so that one may wait inside a `catch` block.
///   Boost 1.81 keeps it with the thread: `throw;` after the wait throws another fiber's exception.
///
///     boost::fibers::use_scheduling_algorithm<
///         weft::Inheriting<boost::fibers::algo::work_stealing>>(thread_count);
///
/// A fiber keeps the context that it began with, whoever wakes it. Fibers that were made before the
/// algorithm was installed inherit nothing.
///
/// Lifetime: a fiber holds the context that it inherited until it ends. The destructors of the
///   values in it may run inside the scheduler then, so they must not wait.
/// Threads: all threads that share fibers should use it, as fibers leave their exception state
///   behind on one that does not.
/// Errors: a fiber for which memory is out begins with the root, and is counted in ContextStats.
/// Cost: a few nanoseconds a switch; see bench/context_benchmark.cc.
template <typename Algorithm>
class Inheriting final : public boost::fibers::algo::algorithm {
 public:
  /// Takes what the constructor of `Algorithm` takes.
  template <typename... Args>
  explicit Inheriting(Args&&... args) : algorithm_(new Algorithm(std::forward<Args>(args)...)) {}

  Algorithm& algorithm() noexcept { return *algorithm_; }

  void awakened(boost::fibers::context* fiber) noexcept override {
    // Fibers that another algorithm hands over are not new.
    if (installed_ || (installed_ = IsInstalled())) switch_.Awakened(fiber);
    inner().awakened(fiber);
  }

  boost::fibers::context* pick_next() noexcept override {
    switch_.Settle();
    boost::fibers::context* const next = inner().pick_next();
    if (next != nullptr) switch_.Picked(next);
    return next;
  }

  bool has_ready_fibers() const noexcept override {
    asked_ = true;
    return inner().has_ready_fibers();
  }

  void suspend_until(const std::chrono::steady_clock::time_point& deadline) noexcept override {
    switch_.Settle();
    inner().suspend_until(deadline);
  }

  void notify() noexcept override { inner().notify(); }

 private:
  // Boost does not say which algorithm a scheduler has; but it asks the one it has.
  bool IsInstalled() const noexcept {
    asked_ = false;
    static_cast<void>(boost::fibers::context::active()->get_scheduler()->has_ready_fibers());
    return asked_;
  }

  // Algorithms with properties hide a part of this interface.
  boost::fibers::algo::algorithm& inner() const noexcept { return *algorithm_; }

  // Not a base: awakened is final in algorithms with properties. Counted, since some algorithms
  // share themselves.
  const boost::intrusive_ptr<Algorithm> algorithm_;
  internal::FiberSwitch switch_;
  bool installed_ = false;
  mutable bool asked_ = false;
};

}  // namespace v0
}  // namespace weft
