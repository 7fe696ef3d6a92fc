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
  if (!this->context().sampled()) ended_.store(true, std::memory_order_relaxed);
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
  if (!tracer.open_runs) {
    tracer.ended.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  tracer.open_runs->Remove(*this);
  // Whoever takes the lock from now on sees that the run has ended and leaves the record alone.
  tracer.Send(std::move(record_));
}

void RunState::SendOpen() noexcept {
  Tracer::Impl& tracer = origin_.tracer->impl();
  // The lock is held until the record is queued, so that the end cannot overtake it.
  const std::lock_guard lock(mutex_);
  if (!recording() || record_.operation == RunRecord::Operation::kPatch) return;
  RunRecord open = record_;
  record_.operation = RunRecord::Operation::kPatch;
  record_.inputs.clear();
  record_.attachments.clear();
  tracer.Send(std::move(open));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
