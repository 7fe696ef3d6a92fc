// SPDX-License-Identifier: Apache-2.0
#include "times.h"

#include <time.h>

#include <atomic>
#include <cstdint>
#include <limits>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::chrono::milliseconds kValid{10};
// Longer between two readings, and something came between them.
constexpr std::chrono::microseconds kTogether{5};

// Of the wall clock from the steady one, and until when by the latter: nanoseconds. A thread that
// meets a new end with an old distance is as right as it was before.
constinit std::atomic<std::int64_t> distance{0};
constinit std::atomic<std::int64_t> valid_until{std::numeric_limits<std::int64_t>::min()};

std::int64_t Nanoseconds(std::chrono::nanoseconds time) noexcept { return time.count(); }

[[gnu::noinline]] Times Measure(steady_clock::time_point before) noexcept {
  const system_clock::time_point wall = system_clock::now();
  const steady_clock::time_point after = steady_clock::now();
  if (after - before < kTogether) {
    distance.store(Nanoseconds(wall.time_since_epoch() - before.time_since_epoch()),
                   std::memory_order_relaxed);
    valid_until.store(Nanoseconds((after + kValid).time_since_epoch()), std::memory_order_release);
  }
  return {wall, after};
}

}  // namespace

Times ReadClocks() noexcept {
  const steady_clock::time_point now = steady_clock::now();
  const std::int64_t steady = Nanoseconds(now.time_since_epoch());
  if (steady >= valid_until.load(std::memory_order_acquire)) [[unlikely]]
    return Measure(now);
  const std::chrono::nanoseconds wall(steady + distance.load(std::memory_order_relaxed));
  return {system_clock::time_point(wall), now};
}

system_clock::time_point ReadCoarseClock() noexcept {
  timespec time{};
  if (clock_gettime(CLOCK_REALTIME_COARSE, &time) != 0) return system_clock::now();
  return system_clock::time_point(std::chrono::seconds(time.tv_sec) +
                                  std::chrono::nanoseconds(time.tv_nsec));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
