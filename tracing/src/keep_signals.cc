// SPDX-License-Identifier: Apache-2.0
// What runs and their callers say of traces that are kept whatever samples.
#include <weft/tracing/run.h>

#include <atomic>

#include "run_state.h"
#include "start_run.h"
#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::LocalRun;
using internal::RunState;

/// Keeps the trace of a run of another process; `tracer`, which may be null, sends what it holds.
void KeepTraceOf(const internal::RunNode& caller, Tracer* tracer) noexcept {
  if (!caller.context()) return;
  if (tracer == nullptr || !tracer->enabled()) return static_cast<void>(caller.mark().Set());
  if (!tracer->options().error_promotion) return;
  caller.mark().Set();
  if (const auto& held = tracer->impl().held) {
    tracer->impl().Promote(*held->Of(caller.context().trace_id(), /*begins_here=*/false));
  }
}

/// Whether `tracer` knows that the trace is kept.
bool HoldsAsKept(Tracer& tracer, const RunId& trace_id) noexcept {
  const auto& held = tracer.impl().held;
  return tracer.enabled() && held && held->Of(trace_id, /*begins_here=*/false)->kept();
}

LocalRun* LocalOf(const std::shared_ptr<internal::RunNode>& node) noexcept {
  return node ? node->AsLocal() : nullptr;
}

/// Of a run that is not recorded there is nothing to be kept.
void KeepTraceOf(LocalRun& run) noexcept {
  if (RunState* const state = run.AsState()) state->Keep();
}

}  // namespace

void RunRef::Keep() const noexcept {
  if (!node_) return;
  if (LocalRun* const local = LocalOf(node_)) return KeepTraceOf(*local);
  KeepTraceOf(*node_, internal::Surroundings::Of(Context::View()).FindTracer(nullptr).get());
}

namespace internal {

void TakeKeepSignal(const RunRef& run, Tracer* tracer, KeepSignal signal) noexcept {
  LocalRun* const local = LocalOf(run.node_);
  if (local != nullptr) tracer = local->tracer().get();
  // Only the call is new to us, not the trace.
  const bool known = signal == KeepSignal::kLimited && local == nullptr && tracer != nullptr &&
                     HoldsAsKept(*tracer, run.context().trace_id());
  if (known) signal = KeepSignal::kFollowed;
  if (tracer != nullptr) {
    Tracer::Impl& impl = tracer->impl();
    std::atomic<std::uint64_t>& count = signal == KeepSignal::kFollowed  ? impl.keeps_received
                                        : signal == KeepSignal::kIgnored ? impl.keeps_ignored
                                                                         : impl.keeps_limited;
    count.fetch_add(1, std::memory_order_relaxed);
  }
  if (signal != KeepSignal::kFollowed) return;
  if (local != nullptr) return KeepTraceOf(*local);
  KeepTraceOf(*run.node_, tracer);
}

bool HearsKeepSignals(const RunRef& run, const Tracer* tracer) noexcept {
  if (!run) return false;
  if (const LocalRun* const local = LocalOf(run.node_)) tracer = local->tracer().get();
  return tracer == nullptr || tracer->options().error_promotion;
}

bool AwaitsKeepSignal(const std::shared_ptr<Tracer>& tracer, bool only_held) noexcept {
  const Surroundings here = Surroundings::Of(Context::View());
  RunNode* const run = here.run != nullptr ? here.run->get() : nullptr;
  if (run == nullptr || !run->has_context() || run->kept()) return false;
  const TracerRef applies = here.FindTracer(&tracer);
  if (!applies || !here.Enabled(*applies) || !applies->options().error_promotion) return false;
  if (run->AsLocal() == nullptr || !only_held) return true;
  const RunState* const state = run->AsState();
  return state != nullptr && state->recording() && !state->context().sampled();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
