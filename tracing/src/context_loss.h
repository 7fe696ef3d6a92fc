// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/context/context.h>
#include <weft/tracing/run.h>
#include <weft/tracing/source_location.h>

#include "start_run.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Whether a run that starts here has no parent although nobody asked for that. `options` may be
/// null.
bool LacksContext(ContextView here, const Surroundings& surroundings,
                  const RunOptions* options) noexcept;

/// Counts a run of `tracer`, and marks it, if a call is in flight whose context it may have lost.
/// `run` has not been shared yet; null: it is not recorded.
void MarkContextLoss(Tracer& tracer, RunState* run, SourceLocation where) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
