// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>

#include <weft/collector/destination.h>

#include "destinations/sink.h"

namespace weft::collector {

/// `probe_interval` is the time between probes of a target that can be reached, too.
struct RetryGateOptions : internal::RetryPauses {
  int open_after = 10;  ///< Failures in a row.
  /// Whether the target looks alive; asked while a long pause lasts.
  std::function<bool()> probe;
};

/// Decides when a target that failed may be tried again. All requests of a destination pass it.
///
///     RetryGate::Attempt attempt;
///     while (gate.Enter(attempt)) {
///       SendResult result = sink.Send(...);
///       if (result.verdict != Verdict::kRetry) { gate.Succeeded(); break; }
///       gate.Failed(result, &attempt);
///     }
///
/// A batch that failed waits 0.2 s, doubling to 60 s, with full jitter. What `Retry-After` says (5
/// min at most) all batches wait. After `open_after` failures in a row the circuit is open: all
/// wait, and one request at a time finds out whether the target is back.
///
/// A target that cannot be reached is tried every 2 s at least, and during a longer pause a probe
/// that fails and then succeeds ends the pause: after an outage runs flow again within 2 s.
///
/// Threads: any.
class RetryGate {
 public:
  using Clock = std::chrono::steady_clock;

  /// What a batch has been through.
  struct Attempt {
    int failures = 0;
    Clock::time_point not_before{};
    std::uint64_t epoch = 0;
  };

  explicit RetryGate(RetryGateOptions options) : options_(std::move(options)) {}

  /// Waits until the batch may be sent. False: stopped while the target fails.
  bool Enter(const Attempt& attempt);

  /// True when the circuit was open.
  bool Succeeded();
  void Failed(const SendResult& result, Attempt* attempt);

  /// A pause as after so many failures, for what is retried elsewhere.
  std::chrono::milliseconds Pause(const SendResult& result, int failures);

  /// Waits so long, unless stopped.
  void Rest(Clock::duration time);

  /// Waits are over, now and for good.
  void Stop();

  /// Ends the pauses: something changed (keys, say).
  void Hurry();

  /// Failures since the last success.
  int failures() const;
  Circuit circuit() const;

 private:
  bool IsOpen() const { return failures_ >= options_.open_after; }
  void EndPauses();
  void Wait(std::unique_lock<std::mutex>& lock, Clock::time_point until);

  const RetryGateOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::minstd_rand random_{std::random_device{}()};
  int failures_ = 0;
  Clock::time_point all_wait_until_{};
  std::uint64_t epoch_ = 0;  ///< Rises when pauses end early.
  bool told_when_ = false;   ///< By Retry-After.
  bool seen_down_ = false;
  bool trying_ = false;
  bool probing_ = false;
  bool stopped_ = false;
};

}  // namespace weft::collector
