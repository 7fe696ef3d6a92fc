// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Runs that were sent while they are open, for a receiver that takes only finished ones.
///
/// Threads: any.
class HeldRuns {
 public:
  using Clock = std::chrono::steady_clock;

  HeldRuns(std::size_t max_bytes, Clock::duration max_age)
      : max_bytes_(max_bytes), max_age_(max_age) {}

  /// Keeps an open run. Returns those that cannot be kept longer, the oldest first.
  std::vector<RunRecord> Hold(RunRecord&& open, Clock::time_point now);

  /// Makes what is sent at a run's end the whole run again.
  void Complete(RunRecord& end);

  std::vector<RunRecord> TakeAll();

 private:
  struct Held {
    RunRecord record;
    std::size_t size;
    Clock::time_point since;
  };
  using Place = std::list<Held>::iterator;

  RunRecord Take(Place place);

  const std::size_t max_bytes_;
  const Clock::duration max_age_;
  std::mutex mutex_;
  std::list<Held> held_;  // the oldest first
  std::unordered_map<RunId, Place> places_;
  std::size_t bytes_ = 0;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
