// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/tracing/run_context.h>
#include <weft/tracing/run_record.h>
#include <weft/tracing/tracer.h>

#include "promotion_buffer.h"
#include "run_node.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// A run in progress that is recorded, shared by its Run, by contexts and by the list of open runs.
///
/// Threads: any. `mutex_` guards the record; it is never held while another thread is waited for.
class RunState final : public LocalRun, public std::enable_shared_from_this<RunState> {
 public:
  struct Origin {
    std::chrono::steady_clock::time_point steady_start;
    /// What the runs of the trace share. Out of the sample: of type HeldTrace, and null where no
    /// error is promoted. In the sample: null for a run that has a mark of its own.
    std::shared_ptr<KeepMark> mark;
    /// Out of the sample, in a call that has no run of its own here: the mark of its caller's run.
    std::shared_ptr<KeepMark> caller;
  };

  RunState(RunContext context, std::shared_ptr<const TraceBaggage> inherited, TracerRef&& tracer,
           const AmbientPtr* ambient, Origin origin) noexcept;

  RunState* AsState() noexcept override { return this; }
  std::chrono::steady_clock::time_point steady_start() const noexcept {
    return origin_.steady_start;
  }

  /// Before the run is shared.
  RunRecord& unshared_record() noexcept { return record_; }

  bool recording() const noexcept { return !ended_.load(std::memory_order_relaxed); }

  KeepMark& mark() const noexcept override { return origin_.mark ? *origin_.mark : own_mark_; }
  /// Keeps it from now on; sends what is held of it.
  void Keep() noexcept;
  /// Whether the run is sent when it ends, however it does.
  bool will_be_sent() const noexcept { return context().sampled() || kept(); }
  /// For a run below this one; null where there is none to share.
  std::shared_ptr<KeepMark> SharedMark() noexcept;
  const std::shared_ptr<KeepMark>& caller_mark() const noexcept { return origin_.caller; }

  /// Runs `edit(record)`, unless the run has ended.
  template <typename Edit>
  void Change(Edit&& edit) noexcept {
    if (!recording() || !Usable()) return CountLateSetter();
    const std::lock_guard lock(mutex_);
    if (!recording()) return CountLateSetter();
    edit(record_);
  }

  /// False: it is in the sample, or its trace is promoted already.
  bool JoinHeldTrace() noexcept;

  /// Ends the run and sends it; at `time`, or now. As one of `kind`, unless that is null.
  void End(std::optional<std::chrono::system_clock::time_point> time,
           std::shared_ptr<const RunTemplate> kind = nullptr) noexcept;

  /// Sends the run as it is now, if it has not ended.
  void SendOpen() noexcept;

  const int exceptions_at_start;
  /// In the list of open runs, or taken off it by its thread.
  bool is_open_run = false;

 private:
  friend class PromotionBuffer;
  friend class OpenRuns;

  HeldTrace& held_trace() const noexcept { return static_cast<HeldTrace&>(*origin_.mark); }
  bool Usable() const noexcept;
  void CountLateSetter() noexcept;
  void EndHeld(Tracer::Impl& impl) noexcept;

  Origin origin_;
  bool joined_ = false;
  std::mutex mutex_;
  RunRecord record_;
  std::atomic<bool> ended_{false};
  // The list of its HeldTrace, and then that of open runs; guarded by the buffer, and by the shard.
  RunState* previous_ = nullptr;
  RunState* next_ = nullptr;
  std::uint8_t shard_ = 0;
  bool listed_ = false;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
