// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include <weft/tracing/run.h>

#include "run_state.h"
#include "unrecorded_run.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Where a run about to start finds itself.
struct Surroundings {
  const RunNodePtr* run = nullptr;  ///< The current run's node; null: none.
  const AmbientPtr* ambient = nullptr;

  static Surroundings Of(ContextView context) noexcept;

  /// The tracer that applies, `option` first, which may be null or point to null; null: none, or
  /// the global one while it is off. Borrowed from `option`, or from what is around.
  TracerRef FindTracer(const std::shared_ptr<Tracer>* option) const noexcept;
  bool Enabled(const Tracer& tracer) const noexcept;
};

/// The node that `parent` asks for, null for a root.
RunNodePtr ResolveParent(Parent& parent, const RunNodePtr* current);

/// What a run without options inherits there. `tracer` may be null.
std::shared_ptr<const TraceBaggage> InheritedBaggage(Tracer* tracer,
                                                     const Surroundings& surroundings);

/// `base` with `members`, which replace those of the same keys; `base` itself if it has them all.
std::shared_ptr<const TraceBaggage> WithMembers(std::shared_ptr<const TraceBaggage> base,
                                                const BaggageMembers& members);

/// Whether a run there would be its parent over again: out of the sample, held by nobody, and with
/// nothing to hand down that its parent does not. `options` may be null.
bool RepeatsParent(Tracer& tracer, const Surroundings& surroundings,
                   const RunOptions* options) noexcept;

/// What a run is.
struct RunSubject {
  std::string_view name{};  ///< Empty: the kind's.
  std::shared_ptr<const RunTemplate> kind{};
  bool lot_fell = false;  ///< On this root, says StartUnrecordedRoot.
};

/// What StartUnrecordedRoot says of a root.
struct UnrecordedRoot {
  std::shared_ptr<UnrecordedRun> run;  ///< Counted. Null: the run is to be started by StartRun.
  bool lot_fell = false;
};

/// A root there that hands nothing of its own down, if it is out of its tracer's sample, which
/// holds none back.
UnrecordedRoot StartUnrecordedRoot(const Surroundings& surroundings, const RunSubject& subject);

struct StartedRun {
  std::shared_ptr<LocalRun> run;
  RunState* recorded = nullptr;  ///< The same run; null: it is not recorded.
};

/// A run that is in progress from now on. `options` may be null.
StartedRun StartRun(TracerRef tracer, const Surroundings& surroundings, RunSubject subject,
                    RunOptions* options);

}  // namespace internal
}  // namespace v0
}  // namespace weft
