// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "batch_exporter.h"
#include "export_queue.h"
#include "loss_report.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Wakes one thread.
class Bell {
 public:
  void Ring() {
    const std::lock_guard lock(mutex_);
    rung_ = true;
    changed_.notify_one();
  }
  /// Whether it rang, now or within the time.
  bool Wait(std::chrono::steady_clock::duration longest) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, longest, [this] { return rung_; });
    return std::exchange(rung_, false);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool rung_ = false;
};

/// The thread of a BatchExporter. One batch is under way at a time, so runs arrive in order.
class BatchSender {
 public:
  using Clock = std::chrono::steady_clock;

  BatchSender(const BatchExporterOptions& options, std::unique_ptr<BatchSink> sink,
              ExportQueue* queue, Bell* bell);

  /// Until the queue says stop. Then every run is resolved.
  void Loop();

  /// Any thread: no more is sent.
  void Abort() { abort_ = true; }

 private:
  // Runs that were taken together. They stay where they are until they are resolved.
  struct Chunk {
    std::vector<QueuedRun> runs;
    std::size_t next = 0;  // The first that is not resolved.
    std::size_t sent = 0;  // How many were sent before, from the front.
    Clock::time_point taken;
  };

  /// Takes the runs out of `orders`.
  void AddToBacklog(ExportQueue::Orders& orders, Clock::time_point now);
  bool IsDue(Clock::time_point now) const;
  void SendBatch();
  /// The next `most` runs, finished; fewer when they are large.
  std::vector<const RunRecord*> MakeBatch(std::size_t most);
  void CountSent(std::size_t runs);
  void HandleResult(const SendResult& result, std::size_t runs, bool shortened);
  void HandleAnswer();
  void HandleFailure(const SendResult& result);
  void DoIdleWork();
  /// Resolves the first runs of the backlog; `rejected` of them were not taken after all.
  void Forget(std::size_t runs, ExportQueue::Outcome outcome, std::size_t rejected = 0);
  /// Has the sink keep the first runs, or drops them.
  void GiveUp(std::size_t runs);
  void GiveUpExpired(Clock::time_point now);
  Clock::time_point NextLook(Clock::time_point now) const;
  void Finish();

  const BatchExporterOptions options_;
  const std::unique_ptr<BatchSink> sink_;
  ExportQueue& queue_;
  Bell& bell_;
  std::atomic<bool> abort_{false};

  std::deque<Chunk> backlog_;
  std::size_t backlog_runs_ = 0;
  std::size_t backlog_bytes_ = 0;
  std::uint64_t resolved_ = 0;
  std::uint64_t flush_below_ = 0;
  std::vector<QueuedRun> spare_;
  // Sizes of the batches that follow, the next at the back, while what is wrong is searched for.
  std::vector<std::size_t> pieces_;
  bool shorten_ = false;  // The first run.
  int failures_ = 0;
  Clock::time_point retry_at_;
  bool said_denied_ = false;
  bool told_when_ = false;  // By Retry-After.
  bool quiet_ = false;      // Nothing happened during the last wait.
  bool asleep_ = false;     // The queue was told to wake us.
  bool idle_work_ = true;   // The sink may have some.
  LossReport loss_;
  std::minstd_rand random_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
