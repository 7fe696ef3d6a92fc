// SPDX-License-Identifier: Apache-2.0
#include "destinations/drain_limit.h"

#include <algorithm>
#include <cmath>

namespace weft::collector {
namespace {

using Seconds = std::chrono::duration<double>;

// What the rate remembers: long enough not to follow single requests.
constexpr Seconds kMemory{10};
constexpr Seconds kShortest{0.1};
// What may go out at once, for batches are not evenly spread.
constexpr Seconds kBurst{0.25};

}  // namespace

void DrainLimit::Observe(std::uint64_t logged, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (observed_at_ == Clock::time_point{}) {
    observed_at_ = now;
    observed_ = logged;
    return;
  }
  const Seconds passed = now - observed_at_;
  if (passed < kShortest) return;
  const double rate = static_cast<double>(logged - observed_) / passed.count();
  const double weight = 1 - std::exp(-passed / kMemory);
  live_rate_ += weight * (rate - live_rate_);
  observed_at_ = now;
  observed_ = logged;
}

void DrainLimit::Begin(Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (draining_ || options_.factor <= 0) return;
  draining_ = true;
  paid_until_ = now;
}

void DrainLimit::End() {
  std::lock_guard lock(mutex_);
  draining_ = false;
}

double DrainLimit::Rate() const {
  return std::max({options_.floor, options_.factor * live_rate_, 1.0});
}

DrainLimit::Clock::duration DrainLimit::Take(std::size_t operations, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (!draining_) return {};
  const auto cost = std::chrono::duration_cast<Clock::duration>(
      Seconds(static_cast<double>(operations) / Rate()));
  const auto burst = std::chrono::duration_cast<Clock::duration>(kBurst);
  paid_until_ = std::max(paid_until_, now - burst) + cost;
  return std::max(paid_until_ - now, Clock::duration{});
}

bool DrainLimit::draining() const {
  std::lock_guard lock(mutex_);
  return draining_;
}

}  // namespace weft::collector
