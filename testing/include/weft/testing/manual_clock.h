// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// A clock that stands until it is told to go on.
///
///     auto clock = std::make_shared<weft::testing::ManualClock>();
///     auto tracer = weft::Tracer::Create({.clock = clock}).value();
///     clock->Advance(std::chrono::seconds(2));
///
/// Threads: any.
class ManualClock : public Clock {
 public:
  /// 2026-01-02T03:04:05Z unless another start is given.
  explicit ManualClock(
      std::chrono::system_clock::time_point start =
          std::chrono::system_clock::time_point(std::chrono::seconds(1'767'323'045))) noexcept
      : wall_(start.time_since_epoch().count()) {}

  /// Moves both clocks.
  void Advance(std::chrono::nanoseconds by) noexcept {
    steady_.fetch_add(by.count());
    StepWallClock(by);
  }

  /// Moves the wall clock only, as when somebody sets it.
  void StepWallClock(std::chrono::nanoseconds by) noexcept {
    wall_.fetch_add(std::chrono::duration_cast<std::chrono::system_clock::duration>(by).count());
  }

  std::chrono::system_clock::time_point Now() const noexcept override {
    return std::chrono::system_clock::time_point(std::chrono::system_clock::duration(wall_.load()));
  }

  std::chrono::steady_clock::time_point Steady() const noexcept override {
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(steady_.load()));
  }

 private:
  std::atomic<std::int64_t> wall_;
  std::atomic<std::int64_t> steady_{std::int64_t{1'000'000'000'000}};
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
