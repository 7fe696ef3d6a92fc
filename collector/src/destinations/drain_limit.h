// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace weft::collector {

struct DrainLimitOptions {
  double factor = 2;     ///< Of the rate at which runs come in; 0 = no limit.
  double floor = 1'000;  ///< Operations a second that are always allowed.
};

/// Spares a target that is back: what gathered during an outage goes out at a multiple of the rate
/// at which runs come in.
///
///     limit.Begin(now);                                    // the target answers again
///     std::this_thread::sleep_for(limit.Take(100, now));   // before each batch
///     limit.End();                                         // the log's end was reached
///
/// Threads: any.
class DrainLimit {
 public:
  using Clock = std::chrono::steady_clock;

  explicit DrainLimit(DrainLimitOptions options) : options_(options) {}

  /// Tells how many operations came in since the start. Cost: a lock.
  void Observe(std::uint64_t logged, Clock::time_point now);

  void Begin(Clock::time_point now);
  void End();

  /// How long these operations have to wait. 0 while nothing is being drained.
  Clock::duration Take(std::size_t operations, Clock::time_point now);

  bool draining() const;

 private:
  double Rate() const;

  const DrainLimitOptions options_;
  mutable std::mutex mutex_;
  bool draining_ = false;
  Clock::time_point paid_until_{};  ///< When what was taken is within the limit.
  Clock::time_point observed_at_{};
  std::uint64_t observed_ = 0;
  double live_rate_ = 0;
};

}  // namespace weft::collector
