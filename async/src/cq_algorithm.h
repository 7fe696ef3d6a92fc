// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/scheduler.hpp>

#include <weft/async/fiber_operation.h>

#include "call_stack.h"

namespace weft {
inline namespace v0 {
namespace internal {

// Wakes a thread that waits in its completion queue, or, once that is closed, on a condition
// variable.
class QueueWaker final : public CompletionHandler {
 public:
  explicit QueueWaker(grpc::CompletionQueue* queue) noexcept : queue_(queue) {}

  // Any thread.
  void Wake() noexcept;

  // The thread of the queue.
  void Complete(bool ok) noexcept override;  // our own tag came out
  // Whether our tag came out since the last time.
  bool TakeWoken() noexcept { return std::exchange(woken_, false); }
  void Close() noexcept;
  void WaitClosed(std::chrono::steady_clock::time_point deadline) noexcept;

 private:
  grpc::CompletionQueue* const queue_;
  std::mutex mutex_;
  grpc::Alarm alarm_;
  std::condition_variable closed_wake_;
  bool armed_ = false;  // the alarm's tag has not come out yet
  bool closed_ = false;
  bool wake_pending_ = false;  // for WaitClosed
  bool woken_ = false;         // of the thread of the queue, not under the lock
};

// Round robin, whose idle state is a wait in the completion queue.
class CqAlgorithm final : public boost::fibers::algo::algorithm {
 public:
  explicit CqAlgorithm(grpc::CompletionQueue* queue) noexcept : queue_(queue), waker_(queue) {}

  void awakened(boost::fibers::context* fiber) noexcept override;
  boost::fibers::context* pick_next() noexcept override;
  bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
  void suspend_until(const std::chrono::steady_clock::time_point& deadline) noexcept override;
  void notify() noexcept override { waker_.Wake(); }

  CallStack& call_stack() noexcept { return call_stack_; }

  // Shuts the queue down and takes out all that is left in it.
  void Close() noexcept;

 private:
  bool PollIsDue() noexcept;
  grpc::CompletionQueue::NextStatus Poll(gpr_timespec deadline) noexcept;
  void PollForMore() noexcept;

  grpc::CompletionQueue* const queue_;
  QueueWaker waker_;
  CallStack call_stack_;
  boost::fibers::scheduler::ready_queue_type ready_;
  int rounds_since_poll_ = 0;
  std::chrono::steady_clock::time_point second_round_;  // since the last poll
  int polls_to_skip_ = 0;                               // of PollForMore
  int skipped_polls_ = 0;                               // the last time
  bool dispatcher_runs_ = false;  // else it is in ready_, and a fiber that waits picks the next one
  bool closed_ = false;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
