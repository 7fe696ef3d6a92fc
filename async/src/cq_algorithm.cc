// SPDX-License-Identifier: Apache-2.0
#include "cq_algorithm.h"

#include <algorithm>
#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

namespace fibers = boost::fibers;
using std::chrono::steady_clock;

// How long fibers that never stop being ready may keep the queue waiting.
constexpr int kRoundsBetweenPolls = 64;
constexpr std::chrono::microseconds kTimeBetweenPolls{200};

// Of polls for more than one event: so many events at most, so many pay for the poll that finds no
// more, and so many polls at most are left out where they do not pay. Many calls that end together
// give more memory back than malloc keeps at hand for a thread.
constexpr int kMostEventsAtOnce = 8;
constexpr int kWorthAPoll = 4;
constexpr int kMostSkippedPolls = 255;

gpr_timespec ToTimespec(steady_clock::time_point deadline) noexcept {
  if (deadline == steady_clock::time_point::max()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const std::chrono::nanoseconds left = std::max(deadline - steady_clock::now(), {});
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(left.count(), GPR_TIMESPAN));
}

}  // namespace

void QueueWaker::Wake() noexcept {
  std::lock_guard lock(mutex_);
  if (closed_) {
    wake_pending_ = true;
    // Under the lock: the woken thread may end, and this object with it.
    closed_wake_.notify_one();
  } else if (!std::exchange(armed_, true)) {
    // An alarm at the present time would fire up to a millisecond late; one at time zero is in
    // time.
    alarm_.Set(queue_, gpr_time_0(GPR_CLOCK_REALTIME), tag());
  }
}

void QueueWaker::Complete(bool) noexcept {
  std::lock_guard lock(mutex_);
  armed_ = false;
  woken_ = true;
}

void QueueWaker::Close() noexcept {
  std::lock_guard lock(mutex_);
  closed_ = true;
  wake_pending_ = true;  // what came through the queue may not have been seen
}

void QueueWaker::WaitClosed(steady_clock::time_point deadline) noexcept {
  std::unique_lock lock(mutex_);
  const auto pending = [this] { return wake_pending_; };
  if (deadline == steady_clock::time_point::max()) {
    closed_wake_.wait(lock, pending);
  } else {
    closed_wake_.wait_until(lock, deadline, pending);
  }
  wake_pending_ = false;
}

void CqAlgorithm::awakened(fibers::context* fiber) noexcept {
  if (fiber->is_context(fibers::type::dispatcher_context)) dispatcher_runs_ = false;
  fiber->ready_link(ready_);
}

fibers::context* CqAlgorithm::pick_next() noexcept {
  if (PollIsDue()) Poll(gpr_time_0(GPR_CLOCK_MONOTONIC));
  if (ready_.empty()) return nullptr;
  fibers::context* const next = &ready_.front();
  ready_.pop_front();
  if (next->is_context(fibers::type::dispatcher_context)) dispatcher_runs_ = true;
  return next;
}

// A fiber that is about to wait must not poll: the event may be its own, and would make it ready
// while it still runs. With nothing ready suspend_until polls anyway; here it would lose a wake,
// for the dispatcher fetches the fibers that other threads woke before it picks, not before it
// waits.
bool CqAlgorithm::PollIsDue() noexcept {
  if (closed_ || ready_.empty() || !dispatcher_runs_) return false;
  // Mostly an event makes one fiber ready, which waits again soon; then no clock is read.
  if (++rounds_since_poll_ == 1) return false;
  const auto now = steady_clock::now();
  if (rounds_since_poll_ == 2) second_round_ = now;
  return rounds_since_poll_ >= kRoundsBetweenPolls || now - second_round_ >= kTimeBetweenPolls;
}

// Takes one event.
grpc::CompletionQueue::NextStatus CqAlgorithm::Poll(gpr_timespec deadline) noexcept {
  void* tag = nullptr;
  bool ok = false;
  const auto status = queue_->AsyncNext(&tag, &ok, deadline);
  if (status == grpc::CompletionQueue::GOT_EVENT)
    static_cast<CompletionHandler*>(tag)->Complete(ok);
  rounds_since_poll_ = 0;
  return status;
}

// Back to the dispatcher only if it has something to do. Many events make no fiber ready: that a
// reply has gone out, or that a call has ended for which nobody waits yet.
void CqAlgorithm::suspend_until(const steady_clock::time_point& deadline) noexcept {
  if (closed_) {
    waker_.WaitClosed(deadline);
    return;
  }
  const gpr_timespec until = ToTimespec(deadline);
  for (int event = 0; event < kMostEventsAtOnce; ++event) {
    if (Poll(until) != grpc::CompletionQueue::GOT_EVENT || waker_.TakeWoken()) return;
    if (!ready_.empty()) return PollForMore();
  }
}

// Under load many events come at once. Fibers that are made ready together switch to one another,
// without the dispatcher between, and one that waits for two events is woken once. But a poll that
// finds nothing costs a whole pass of gRPC's poller, and one after each event would halve the
// throughput of calls that come one at a time. So it is done where it lately paid, else seldom.
void CqAlgorithm::PollForMore() noexcept {
  if (polls_to_skip_ > 0) {
    --polls_to_skip_;
    return;
  }
  int found = 0;
  while (found < kMostEventsAtOnce &&
         Poll(gpr_time_0(GPR_CLOCK_MONOTONIC)) == grpc::CompletionQueue::GOT_EVENT) {
    ++found;
  }
  skipped_polls_ = found >= kWorthAPoll ? 0 : std::min(2 * skipped_polls_ + 1, kMostSkippedPolls);
  polls_to_skip_ = skipped_polls_;
}

void CqAlgorithm::Close() noexcept {
  closed_ = true;
  waker_.Close();
  queue_->Shutdown();
  while (Poll(gpr_inf_future(GPR_CLOCK_MONOTONIC)) != grpc::CompletionQueue::SHUTDOWN) {
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
