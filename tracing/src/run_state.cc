// SPDX-License-Identifier: Apache-2.0
#include "run_state.h"

#include <exception>

#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace internal {

RunState::RunState(RunContext context, std::shared_ptr<const TraceBaggage> inherited,
                   TracerRef&& tracer, const AmbientPtr* ambient, Origin origin) noexcept
    : LocalRun(std::move(context), std::move(inherited), std::move(tracer), ambient),
      exceptions_at_start(std::uncaught_exceptions()),
      origin_(std::move(origin)) {
  if (!this->context().sampled() && !origin_.mark) ended_.store(true, std::memory_order_relaxed);
}

bool RunState::Usable() const noexcept { return !tracer()->impl().fork_mark.IsInChild(); }

void RunState::CountLateSetter() noexcept {
  if (!context().sampled()) return;
  tracer()->impl().setter_after_end.fetch_add(1, std::memory_order_relaxed);
}

void RunState::End(std::optional<std::chrono::system_clock::time_point> time,
                   std::shared_ptr<const RunTemplate> kind) noexcept {
  if (!recording() || !Usable()) return;
  Tracer::Impl& impl = tracer()->impl();
  std::unique_lock lock(mutex_);
  if (!recording()) return;
  ended_.store(true, std::memory_order_relaxed);
  if (kind) record_.kind.swap(kind);
  // By the steady clock, so that a step of the wall clock changes no duration.
  record_.end =
      time ? *time
           : record_.start + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                 impl.Steady() - origin_.steady_start);
  lock.unlock();
  // Whoever takes the lock from now on sees that the run has ended and leaves the record alone.
  if (record_.error) Keep();
  if (is_open_run) {
    impl.open_runs->Remove(*this);
  } else if (!joined_) {
    impl.ended.fetch_add(1, std::memory_order_relaxed);
  }
  if (!impl.open_runs) return;
  if (!context().sampled()) return EndHeld(impl);
  record_.keep = kept();
  impl.Send(std::move(record_));
}

void RunState::EndHeld(Tracer::Impl& impl) noexcept {
  std::optional<HeldRun> ended;
  if (!kept()) {
    ended.emplace(std::move(record_), impl.environment->redactor != nullptr);
    if (impl.held->Hold(held_trace(), *ended, joined_ ? this : nullptr)) return;
  }
  if (joined_ && !impl.held->Leave(held_trace(), *this)) impl.open_runs->Withdraw(*this);
  impl.SendPromoted(ended ? std::move(*ended).Restore() : std::move(record_));
}

bool RunState::JoinHeldTrace() noexcept {
  joined_ =
      !context().sampled() && origin_.mark && tracer()->impl().held->Join(held_trace(), *this);
  return joined_;
}

void RunState::Keep() noexcept {
  Tracer::Impl& impl = tracer()->impl();
  if (!impl.options.error_promotion || !Usable()) return;
  if (origin_.caller) origin_.caller->Set();
  if (kept()) return;
  if (context().sampled()) {
    mark().Set();
  } else if (origin_.mark) {
    impl.Promote(held_trace());
  }
}

std::shared_ptr<KeepMark> RunState::SharedMark() noexcept {
  if (origin_.mark || !context().sampled()) return origin_.mark;
  return {shared_from_this(), &own_mark_};
}

void RunState::SendOpen() noexcept {
  Tracer::Impl& impl = tracer()->impl();
  // The lock is held until the record is queued, so that the end cannot overtake it.
  const std::lock_guard lock(mutex_);
  if (!recording() || record_.operation == RunRecord::Operation::kPatch) return;
  record_.keep = kept();
  if (record_.payload) record_.payload->SendsOpen();
  RunRecord open = record_;
  record_.operation = RunRecord::Operation::kPatch;
  if (impl.options.exclude_inputs_on_patch) record_.inputs.clear();
  record_.attachments.clear();
  if (!context().sampled()) return impl.SendPromoted(std::move(open));
  impl.Send(std::move(open));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
