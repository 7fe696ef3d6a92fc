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

RunState* StateOf(const std::shared_ptr<internal::RunNode>& node) noexcept {
  return node ? node->AsState() : nullptr;
}

}  // namespace

void RunRef::Keep() const noexcept {
  if (RunState* const state = StateOf(node_)) return state->Keep();
  if (!node_) return;
  KeepTraceOf(*node_, internal::Surroundings::Of(Context::View()).FindTracer(nullptr).get());
}

namespace internal {

void TakeKeepSignal(const RunRef& run, Tracer* tracer, KeepSignal signal) noexcept {
  RunState* const state = StateOf(run.node_);
  if (state != nullptr) tracer = state->tracer().get();
  // Only the call is new to us, not the trace.
  const bool known = signal == KeepSignal::kLimited && state == nullptr && tracer != nullptr &&
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
  if (state != nullptr) return state->Keep();
  KeepTraceOf(*run.node_, tracer);
}

bool HearsKeepSignals(const RunRef& run, const Tracer* tracer) noexcept {
  if (!run) return false;
  if (const RunState* const state = StateOf(run.node_)) tracer = state->tracer().get();
  return tracer == nullptr || tracer->options().error_promotion;
}

bool AwaitsKeepSignal(const std::shared_ptr<Tracer>& tracer, bool only_held) noexcept {
  const Surroundings here = Surroundings::Of(Context::View());
  RunNode* const run = here.run != nullptr ? here.run->get() : nullptr;
  if (run == nullptr || !run->context() || run->kept()) return false;
  const std::shared_ptr<Tracer> applies = here.FindTracer(tracer);
  if (!applies || !here.Enabled(*applies) || !applies->options().error_promotion) return false;
  const RunState* const state = run->AsState();
  return state == nullptr || !only_held || (state->recording() && !state->context().sampled());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
