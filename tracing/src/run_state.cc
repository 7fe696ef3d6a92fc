// SPDX-License-Identifier: Apache-2.0
#include "run_state.h"

#include <exception>

#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace internal {

RunState::RunState(RunContext context, std::shared_ptr<const TraceBaggage> inherited,
                   Origin origin) noexcept
    : RunNode(std::move(context), std::move(inherited)),
      exceptions_at_start(std::uncaught_exceptions()),
      origin_(std::move(origin)) {
  if (!this->context().sampled() && !origin_.mark) ended_.store(true, std::memory_order_relaxed);
}

bool RunState::Usable() const noexcept { return !origin_.tracer->impl().fork_mark.IsInChild(); }

void RunState::CountLateSetter() noexcept {
  if (!context().sampled()) return;
  origin_.tracer->impl().setter_after_end.fetch_add(1, std::memory_order_relaxed);
}

void RunState::End(std::optional<std::chrono::system_clock::time_point> time,
                   std::shared_ptr<const RunTemplate> kind) noexcept {
  if (!recording() || !Usable()) return;
  Tracer::Impl& tracer = origin_.tracer->impl();
  std::unique_lock lock(mutex_);
  if (!recording()) return;
  ended_.store(true, std::memory_order_relaxed);
  if (kind) record_.kind.swap(kind);
  // By the steady clock, so that a step of the wall clock changes no duration.
  record_.end =
      time ? *time
           : record_.start + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                 tracer.Steady() - origin_.steady_start);
  lock.unlock();
  // Whoever takes the lock from now on sees that the run has ended and leaves the record alone.
  if (record_.error) Keep();
  if (is_open_run) {
    tracer.open_runs->Remove(*this);
  } else if (!joined_) {
    tracer.ended.fetch_add(1, std::memory_order_relaxed);
  }
  if (!tracer.open_runs) return;
  if (!context().sampled()) return EndHeld(tracer);
  record_.keep = kept();
  tracer.Send(std::move(record_));
}

void RunState::EndHeld(Tracer::Impl& tracer) noexcept {
  std::optional<HeldRun> ended;
  if (!kept()) {
    ended.emplace(std::move(record_), tracer.environment->redactor != nullptr);
    if (tracer.held->Hold(held_trace(), *ended, joined_ ? this : nullptr)) return;
  }
  if (joined_ && !tracer.held->Leave(held_trace(), *this)) tracer.open_runs->Withdraw(*this);
  tracer.SendPromoted(ended ? std::move(*ended).Restore() : std::move(record_));
}

bool RunState::JoinHeldTrace() noexcept {
  joined_ = !context().sampled() && origin_.mark &&
            origin_.tracer->impl().held->Join(held_trace(), *this);
  return joined_;
}

void RunState::Keep() noexcept {
  Tracer::Impl& tracer = origin_.tracer->impl();
  if (!tracer.options.error_promotion || !Usable()) return;
  if (origin_.caller) origin_.caller->Set();
  if (kept()) return;
  if (context().sampled()) {
    mark().Set();
  } else if (origin_.mark) {
    tracer.Promote(held_trace());
  }
}

std::shared_ptr<KeepMark> RunState::SharedMark() noexcept {
  if (origin_.mark || !context().sampled()) return origin_.mark;
  return {shared_from_this(), &own_mark_};
}

void RunState::SendOpen() noexcept {
  Tracer::Impl& tracer = origin_.tracer->impl();
  // The lock is held until the record is queued, so that the end cannot overtake it.
  const std::lock_guard lock(mutex_);
  if (!recording() || record_.operation == RunRecord::Operation::kPatch) return;
  record_.keep = kept();
  if (record_.payload) record_.payload->SendsOpen();
  RunRecord open = record_;
  record_.operation = RunRecord::Operation::kPatch;
  if (tracer.options.exclude_inputs_on_patch) record_.inputs.clear();
  record_.attachments.clear();
  if (!context().sampled()) return tracer.SendPromoted(std::move(open));
  tracer.Send(std::move(open));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
