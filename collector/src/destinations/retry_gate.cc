// SPDX-License-Identifier: Apache-2.0
#include "destinations/retry_gate.h"

#include <algorithm>

namespace weft::collector {

// An open circuit begins with the pause of so many failures.
constexpr int kFailuresWhenOpened = 3;

bool RetryGate::Enter(const Attempt& attempt) {
  std::unique_lock lock(mutex_);
  while (!stopped_ || (failures_ == 0 && attempt.failures == 0)) {
    const bool own_pause = attempt.epoch == epoch_ && !IsOpen();
    const Clock::time_point until =
        std::max(all_wait_until_, own_pause ? attempt.not_before : Clock::time_point{});
    if (Clock::now() < until) {
      Wait(lock, until);
    } else if (IsOpen() && trying_) {
      changed_.wait(lock);
    } else {
      trying_ = IsOpen();
      return true;
    }
  }
  return false;
}

void RetryGate::Wait(std::unique_lock<std::mutex>& lock, Clock::time_point until) {
  const bool may_probe = !told_when_ && !probing_ && options_.probe != nullptr;
  if (!may_probe || until - Clock::now() <= options_.probe_interval) {
    changed_.wait_until(lock, until);
    return;
  }
  probing_ = true;
  const std::uint64_t epoch = epoch_;
  const auto over = [&] { return stopped_ || epoch_ != epoch; };
  if (!changed_.wait_for(lock, options_.probe_interval, over)) {
    lock.unlock();
    const bool alive = options_.probe();
    lock.lock();
    if (!alive) {
      seen_down_ = true;
    } else if (seen_down_ && epoch_ == epoch) {
      EndPauses();
    }
  }
  probing_ = false;
  changed_.notify_all();
}

void RetryGate::EndPauses() {
  ++epoch_;
  all_wait_until_ = {};
  told_when_ = false;
  seen_down_ = false;
  changed_.notify_all();
}

std::chrono::milliseconds RetryGate::Pause(const SendResult& result, int failures) {
  std::lock_guard lock(mutex_);
  return internal::RetryPause(options_, result, failures, random_);
}

bool RetryGate::Succeeded() {
  std::lock_guard lock(mutex_);
  const bool was_open = IsOpen();
  if (was_open) EndPauses();
  failures_ = 0;
  trying_ = false;
  seen_down_ = false;
  return was_open;
}

void RetryGate::Failed(const SendResult& result, Attempt* attempt) {
  std::lock_guard lock(mutex_);
  ++failures_;
  ++attempt->failures;
  attempt->epoch = epoch_;
  const int counted = std::max(
      attempt->failures, IsOpen() ? failures_ - options_.open_after + kFailuresWhenOpened : 0);
  attempt->not_before = Clock::now() + internal::RetryPause(options_, result, counted, random_);
  if (result.retry_after) told_when_ = true;
  if (IsOpen()) trying_ = false;
  if (IsOpen() || result.retry_after) {
    all_wait_until_ = std::max(all_wait_until_, attempt->not_before);
  }
  changed_.notify_all();
}

void RetryGate::Rest(Clock::duration time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return stopped_; });
}

void RetryGate::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void RetryGate::Hurry() {
  std::lock_guard lock(mutex_);
  EndPauses();
}

int RetryGate::failures() const {
  std::lock_guard lock(mutex_);
  return failures_;
}

Circuit RetryGate::circuit() const {
  std::lock_guard lock(mutex_);
  if (!IsOpen()) return Circuit::kClosed;
  return trying_ ? Circuit::kProbing : Circuit::kOpen;
}

}  // namespace weft::collector
