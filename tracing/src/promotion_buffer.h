// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <weft/tracing/run_id.h>

#include "fork.h"
#include "held_record.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Whether a trace is kept whatever samples: what runs of it in this process know together.
class KeepMark {
 public:
  bool kept() const noexcept { return kept_.load(std::memory_order_acquire); }
  /// False: it was before.
  bool Set() noexcept { return !kept_.exchange(true, std::memory_order_acq_rel); }

 private:
  std::atomic<bool> kept_{false};
};

class PromotionBuffer;
class RunState;

/// A trace out of the sample, shared by its runs in progress and, while there is something to
/// remember about it, by the buffer.
class HeldTrace final : public KeepMark, public std::enable_shared_from_this<HeldTrace> {
 public:
  HeldTrace(PromotionBuffer& buffer, const RunId& id, bool begins_here) noexcept
      : buffer_(buffer), id_(id), begins_here_(begins_here) {}
  HeldTrace(const HeldTrace&) = delete;
  HeldTrace& operator=(const HeldTrace&) = delete;
  ~HeldTrace();

 private:
  friend class PromotionBuffer;

  PromotionBuffer& buffer_;
  const RunId id_;
  const bool begins_here_;
  // All below is guarded by the buffer.
  RunState* open_ = nullptr;
  bool open_taken_ = false;
  HeldTraceRuns runs_;
  std::size_t bytes_ = 0;
  const TraceBaggage* charged_ = nullptr;  // The baggage counted last; never looked into.
  HeldTrace* next_in_bucket_ = nullptr;
  HeldTrace** in_bucket_ = nullptr;  // What points to it there; its neighbours change it.
  bool can_be_found_ = false;        // In a bucket; its last owner reads it without the lock.
  HeldTrace* newer_ = nullptr;
  std::shared_ptr<HeldTrace> listed_;  // Itself, while it is in the order of age.
};

/// The runs out of the sample that have ended, until their trace is promoted or others need their
/// room: then the trace that has been here longest goes first, as a whole. The memory of one with
/// many runs goes by and by, as others need it, so that no run that ends pays for all of them.
///
/// Threads: any. One short lock; nothing is sent or destroyed under it, and memory is allocated for
/// some runs.
class PromotionBuffer {
 public:
  explicit PromotionBuffer(std::size_t limit);
  PromotionBuffer(const PromotionBuffer&) = delete;
  PromotionBuffer& operator=(const PromotionBuffer&) = delete;
  ~PromotionBuffer();

  /// What runs of the trace share. `begins_here`: nobody else can know of it yet, and it is found
  /// from its first run on that joins, or is held.
  std::shared_ptr<HeldTrace> Of(const RunId& trace_id, bool begins_here);

  /// A run that has begun, to be found if the trace is promoted while it is open. False: that was
  /// done.
  bool Join(HeldTrace& trace, RunState& run) noexcept;
  /// It has ended. False: the trace was promoted meanwhile.
  bool Leave(HeldTrace& trace, RunState& run) noexcept;
  /// The runs in progress, once: Join and Leave say false from now on.
  std::vector<std::shared_ptr<RunState>> TakeOpen(HeldTrace& trace);

  /// Takes a run that has ended, which leaves the trace as `joined`, unless that is null. False:
  /// the trace is kept, and the run is to be sent; nothing was done.
  bool Hold(HeldTrace& trace, HeldRun& ended, RunState* joined) noexcept;

  /// Marks a trace as kept, from now on for as long as it is remembered, and gives what is held of
  /// it, oldest first; nothing if that was done before.
  HeldTraceRuns Promote(HeldTrace& trace);

  struct Counts {
    std::uint64_t joined = 0;    ///< Runs, counted where a lock is held anyway.
    std::uint64_t left = 0;      ///< Of these.
    std::uint64_t promoted = 0;  ///< Traces.
    std::uint64_t evicted = 0;   ///< Runs.
    std::size_t bytes = 0;       ///< Held now.
  };
  Counts counts() const noexcept;

 private:
  friend class HeldTrace;

  void Forget(HeldTrace& trace) noexcept;
  /// For ids of this process: neighbours for ids made one after the other, so that traces which
  /// come and go meet buckets and traces that are in the processor's cache.
  HeldTrace*& BucketByOrder(const RunId& id) noexcept;
  /// For ids of callers, who cannot tell which of them share a bucket.
  HeldTrace*& BucketByChance(const RunId& id) noexcept;
  void AddToBucket(HeldTrace& trace) noexcept;
  static void TakeFromBucket(HeldTrace& trace) noexcept;
  void Unlink(HeldTrace& trace, RunState& run) noexcept;
  void ListAsNewest(HeldTrace& trace) noexcept;
  std::shared_ptr<HeldTrace> UnlistOldest() noexcept;
  /// What leaves the buffer, to be destroyed outside of the lock.
  struct Evicted {
    std::shared_ptr<HeldTrace> trace;
    std::optional<HeldTraceRuns> runs;  // If they do not go with the trace.
    HeldTraceRuns::Block some;          // Of a trace that is forgotten already.
  };
  // Under the lock.
  Evicted TakeOldest() noexcept;
  Evicted TakeSpent() noexcept;
  /// What makes room next.
  Evicted TakeSomething() noexcept;
  void Evict() noexcept;

  const std::size_t limit_;
  const std::array<std::uint64_t, 2> key_;
  const ForkMark fork_mark_;
  mutable std::mutex mutex_;
  std::vector<HeldTrace*> buckets_;  // A power of two.
  HeldTrace* oldest_ = nullptr;
  HeldTrace* newest_ = nullptr;
  std::size_t bytes_ = 0;
  HeldTraceRuns spent_;  // Of a trace that is forgotten; `spent_bytes_` of `bytes_` are theirs.
  std::size_t spent_bytes_ = 0;
  std::uint64_t joined_ = 0;
  std::uint64_t left_ = 0;
  std::uint64_t promoted_ = 0;
  std::uint64_t evicted_ = 0;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
