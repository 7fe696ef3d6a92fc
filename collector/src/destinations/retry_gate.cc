// SPDX-License-Identifier: Apache-2.0
#include "destinations/retry_gate.h"

#include <algorithm>

namespace weft::collector {

bool RetryGate::Enter() {
  std::unique_lock lock(mutex_);
  while (!stopped_ || failures_ == 0) {
    if (Clock::now() < next_) {
      WaitForPause(lock);
    } else if (failures_ > 0 && trying_) {
      // While it is down, one request finds out for all.
      changed_.wait(lock);
    } else {
      trying_ = failures_ > 0;
      return true;
    }
  }
  return false;
}

void RetryGate::WaitForPause(std::unique_lock<std::mutex>& lock) {
  const Clock::time_point until = next_;
  const bool may_probe = !told_when_ && !probing_ && options_.probe != nullptr;
  if (!may_probe || until - Clock::now() <= options_.probe_interval) {
    changed_.wait_until(lock, until);
    return;
  }
  probing_ = true;
  const auto over = [&] { return stopped_ || next_ != until; };
  const bool changed = changed_.wait_for(lock, options_.probe_interval, over);
  if (!changed) {
    lock.unlock();
    const bool alive = options_.probe();
    lock.lock();
    if (!alive) {
      seen_down_ = true;
    } else if (seen_down_ && next_ == until) {
      next_ = Clock::now();
      changed_.notify_all();
    }
  }
  probing_ = false;
}

std::chrono::milliseconds RetryGate::Pause(const SendResult& result) {
  return internal::RetryPause(options_, result, failures_, random_);
}

void RetryGate::Succeeded() {
  std::lock_guard lock(mutex_);
  failures_ = 0;
  trying_ = false;
  seen_down_ = false;
  next_ = {};
  changed_.notify_all();
}

void RetryGate::Failed(const SendResult& result) {
  std::lock_guard lock(mutex_);
  trying_ = false;
  // Requests that were under way together fail together: that is one failure.
  if (Clock::now() >= next_) {
    ++failures_;
    told_when_ = result.retry_after.has_value();
    next_ = Clock::now() + Pause(result);
  } else if (result.retry_after) {
    told_when_ = true;
    next_ = std::max(next_, Clock::now() + Pause(result));
  }
  changed_.notify_all();
}

void RetryGate::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void RetryGate::Hurry() {
  std::lock_guard lock(mutex_);
  next_ = {};
  changed_.notify_all();
}

int RetryGate::failures() const {
  std::lock_guard lock(mutex_);
  return failures_;
}

}  // namespace weft::collector
