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

#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/run_record.h>
#include <weft/tracing/tracer.h>

#include "promotion_buffer.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Members of `baggage` that are not LangSmith's, decoded.
using BaggageMembers = std::vector<std::pair<std::string, std::string>>;

/// What the TracingContexts around a stack say together.
struct Ambient {
  std::shared_ptr<Tracer> tracer;
  std::optional<bool> enabled;
  std::optional<std::string> project;
  std::vector<std::string> tags;
  JsonObject metadata;
  BaggageMembers baggage;
};

class RunState;

/// A run as a context holds it: of this process (then it is a RunState) or of another one, or only
/// what headers without a parent said.
class RunNode {
 public:
  /// `inherited` null: `context` has no tags that are its own.
  RunNode(RunContext context, std::shared_ptr<const TraceBaggage> inherited) noexcept
      : context_(std::move(context)), inherited_(std::move(inherited)) {}
  RunNode(const RunNode&) = delete;
  RunNode& operator=(const RunNode&) = delete;
  virtual ~RunNode() = default;

  const RunContext& context() const noexcept { return context_; }
  /// What a run below starts from: the baggage without the run's own tags.
  const std::shared_ptr<const TraceBaggage>& inherited() const noexcept {
    return inherited_ || !context_ ? inherited_ : context_.shared_baggage();
  }
  virtual RunState* AsState() noexcept { return nullptr; }

  /// Whether the trace is kept whatever samples: shared with the runs below that this process
  /// makes, so that who called hears of them, too.
  virtual KeepMark& mark() const noexcept { return own_mark_; }
  bool kept() const noexcept { return mark().kept(); }

 protected:
  mutable KeepMark own_mark_;

 private:
  RunContext context_;
  std::shared_ptr<const TraceBaggage> inherited_;
};

using RunNodePtr = std::shared_ptr<RunNode>;

/// A run of this process in progress, shared by its Run, by contexts and by the list of open runs.
///
/// Threads: any. `mutex_` guards the record; it is never held while another thread is waited for.
class RunState final : public RunNode, public std::enable_shared_from_this<RunState> {
 public:
  struct Origin {
    std::shared_ptr<Tracer> tracer;
    std::shared_ptr<const Ambient> ambient;
    std::chrono::steady_clock::time_point steady_start;
    /// What the runs of the trace share. Out of the sample: of type HeldTrace, and null where no
    /// error is promoted. In the sample: null for a run that has a mark of its own.
    std::shared_ptr<KeepMark> mark;
    /// Out of the sample, in a call that has no run of its own here: the mark of its caller's run.
    std::shared_ptr<KeepMark> caller;
  };

  RunState(RunContext context, std::shared_ptr<const TraceBaggage> inherited,
           Origin origin) noexcept;

  RunState* AsState() noexcept override { return this; }
  const std::shared_ptr<Tracer>& tracer() const noexcept { return origin_.tracer; }
  const std::shared_ptr<const Ambient>& ambient() const noexcept { return origin_.ambient; }
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

  /// In the Run's stack only.
  std::optional<ContextScope> scope;
  /// For the context in which the run is current.
  std::optional<EmbeddedNode<RunNodePtr>> context_node;
  const int exceptions_at_start;
  /// In the list of open runs, or taken off it by its thread.
  bool is_open_run = false;

 private:
  friend class PromotionBuffer;
  friend class OpenRuns;

  HeldTrace& held_trace() const noexcept { return static_cast<HeldTrace&>(*origin_.mark); }
  bool Usable() const noexcept;
  void CountLateSetter() noexcept;
  void EndHeld(Tracer::Impl& tracer) noexcept;

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

using AmbientPtr = std::shared_ptr<const Ambient>;

inline constexpr ContextKey<RunNodePtr> kRunKey{ContextSlot::kRun};
inline constexpr ContextKey<AmbientPtr> kAmbientKey{ContextSlot::kTracer};

}  // namespace internal
}  // namespace v0
}  // namespace weft
