// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <vector>

#include <weft/tracing/exporter.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What `record` occupies, about.
std::size_t EstimateSize(const RunRecord& record) noexcept;

/// A run on its way, with what it is charged for.
struct QueuedRun {
  RunRecord record;
  std::size_t size = 0;
};

/// What lies between the threads that end runs and the one that sends them: the bounded queue, the
/// accounts, and who waits for what.
///
/// Every accepted run has a number, counted from 0. The sender resolves each exactly once, in any
/// order, and says below which number everything is resolved.
///
/// Threads: any; Take, Sent, Resolve and Settle are the sender's.
class ExportQueue {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    std::size_t bytes;
    std::size_t batch_runs;
    std::size_t batch_bytes;
  };

  /// `wake` makes the sender call Take soon. It is called from any thread, and not again before a
  /// Take that has seen it; after Stop it is called once at most.
  ExportQueue(Limits limits, std::function<void()> wake);

  void Push(RunRecord&& record) noexcept;
  /// False: the queue is full; the record is as it was, and not counted.
  bool TryPush(RunRecord& record) noexcept;

  struct Orders {
    std::vector<QueuedRun> runs;
    std::size_t bytes = 0;          ///< What they are charged for together.
    std::uint64_t flush_below = 0;  ///< Runs below this number are not to wait for company.
    bool wake_pending = false;      ///< A call of `wake` is on its way.
    bool stop = false;
    Clock::time_point stop_until;  ///< For a polite goodbye.
  };

  struct Waiting {
    bool wake_seen;  ///< A call of `wake` has arrived.
    bool may_sleep;  ///< With nothing new, the next run is to wake the sender, not only a full
                     ///< batch.
    /// What the sender has and did not send: less is missing for a full batch.
    std::size_t runs = 0;
    std::size_t bytes = 0;
    /// Runs that do not fill a batch stay: taken in pieces, what was sent before them would be
    /// destroyed by the sender. Not together with `may_sleep` or `wake_seen`.
    bool only_full = false;
  };

  /// What came since the last call. `spare` is a vector to fill from now on. The runs that are
  /// still in it were sent: each is destroyed by the thread that puts another one in its place.
  /// Memory is best freed by threads that allocate as much; freed by the sender all of it would go
  /// through the allocator's locks.
  Orders Take(std::vector<QueuedRun> spare, Waiting waiting);

  enum class Outcome { kAcknowledged, kSpilled, kRejected, kExpired };
  void Sent(std::size_t runs);
  void Resolve(Outcome outcome, std::size_t runs, std::size_t bytes);
  /// Everything below `number` is resolved.
  void Settle(std::uint64_t number);

  bool Flush(Clock::time_point deadline);
  /// From now on runs are dropped; the sender is told.
  void Stop(Clock::time_point until);
  ExporterStats Stats() const;

 private:
  void WakeUnlocked(std::unique_lock<std::mutex>& lock);

  const Limits limits_;
  const std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable settled_enough_;
  std::vector<QueuedRun> incoming_;
  std::size_t filled_ = 0;  // Of incoming_; what follows was sent.
  std::vector<QueuedRun> spare_;
  std::size_t incoming_bytes_ = 0;
  std::size_t missing_runs_;  // For a full batch, when the sender looked.
  std::size_t missing_bytes_;
  std::size_t held_bytes_ = 0;
  ExporterStats stats_;
  std::uint64_t accepted_ = 0;
  std::uint64_t settled_ = 0;
  std::uint64_t flush_below_ = 0;
  /// The lowest number that somebody waits for: who flushes is not woken by every batch before.
  static constexpr std::uint64_t kNobody = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t awaited_ = kNobody;
  bool asleep_ = false;
  bool woken_ = false;
  bool stop_ = false;
  Clock::time_point stop_until_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
