// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>

#include "destinations/sink.h"

namespace weft::collector {

/// `probe_interval` is the time between probes of a target that can be reached, too.
struct RetryGateOptions : internal::RetryPauses {
  /// Whether the target looks alive; asked while a long pause lasts.
  std::function<bool()> probe;
};

/// Decides when a target that failed may be tried again. All requests of a destination pass it.
///
///     while (gate.Enter()) {
///       SendResult result = sink.Send(...);
///       if (result.verdict != Verdict::kRetry) { gate.Succeeded(); break; }
///       gate.Failed(result);
///     }
///
/// The pause is what `Retry-After` says (5 min at most), else doubles from 0.2 s to 60 s with full
/// jitter; while the target fails, one request at a time finds out. A target that cannot be reached
/// is tried every 2 s at least, and during a longer pause a probe that fails and then succeeds ends
/// the pause: after an outage runs flow again within 2 s.
///
/// Threads: any.
class RetryGate {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RetryGate(RetryGateOptions options) : options_(std::move(options)) {}

  /// Waits until an attempt may be made. False: stopped while the target fails.
  bool Enter();

  void Succeeded();
  void Failed(const SendResult& result);

  /// Waits are over, now and for good.
  void Stop();

  /// Ends the pause: something changed (keys, say).
  void Hurry();

  /// Failures since the last success.
  int failures() const;

 private:
  void WaitForPause(std::unique_lock<std::mutex>& lock);
  std::chrono::milliseconds Pause(const SendResult& result);

  const RetryGateOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::minstd_rand random_{std::random_device{}()};
  int failures_ = 0;
  Clock::time_point next_{};
  bool told_when_ = false;  ///< By Retry-After, or soon enough without probes.
  bool seen_down_ = false;
  bool trying_ = false;
  bool probing_ = false;
  bool stopped_ = false;
};

}  // namespace weft::collector
