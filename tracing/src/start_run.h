// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <weft/tracing/run.h>

#include "root_lot.h"
#include "run_state.h"
#include "times.h"
#include "tracer_impl.h"
#include "unrecorded_run.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Where a run about to start finds itself.
struct Surroundings {
  const RunNodePtr* run;  ///< The current run's node; null: none.
  const AmbientPtr* ambient;

  static Surroundings Of(ContextView context) noexcept;

  /// The tracer that applies, `option` first, which may be null or point to null; null: none, or
  /// the global one while it is off. Borrowed from `option`, or from what is around.
  TracerRef FindTracer(const std::shared_ptr<Tracer>* option) const noexcept {
    if (option != nullptr && *option) return TracerRef(option);
    return run != nullptr || ambient != nullptr ? FindTracerAround()
                                                : TracerRef(EnabledGlobalTracer());
  }
  bool Enabled(const Tracer& tracer) const noexcept {
    if (ambient != nullptr && *ambient && (*ambient)->enabled) return *(*ambient)->enabled;
    return tracer.enabled();
  }

 private:
  TracerRef FindTracerAround() const noexcept;
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
  std::string_view name{};                                   ///< Empty: the kind's.
  const std::shared_ptr<const RunTemplate>* kind = nullptr;  ///< May be or point to null.
};

/// Whether a root is in the sample, and what had to be made for this to be known.
struct RootDecision {
  SamplingDecision sampling;
  RunId id{};                    ///< Nil: not made.
  std::optional<Times> times{};  ///< When the id was made.
  const RootLot* lot = nullptr;  ///< That was cast; null: none.
};

/// A root there that says nothing of its own, if it is out of the sample and nothing is held back.
/// Null: it is to be started by StartRun, which is given what `decided` is now.
std::shared_ptr<UnrecordedRun> StartUnrecordedRoot(TracerRef& tracer,
                                                   const Surroundings& surroundings,
                                                   const RunSubject& subject,
                                                   std::optional<RootDecision>& decided);

/// What a root that says nothing of its own hands down. `ambient`: what is around it, or null.
std::shared_ptr<const TraceBaggage> RootBaggage(const Tracer::Impl& tracer, const Ambient* ambient);

struct StartedRun {
  std::shared_ptr<LocalRun> run;
  RunState* recorded = nullptr;  ///< The same run; null: it is not recorded.
};

/// A run that is in progress from now on. `options` may be null. `decided` is completed.
StartedRun StartRun(TracerRef&& tracer, const Surroundings& surroundings, const RunSubject& subject,
                    RunOptions* options, std::optional<RootDecision>& decided);

}  // namespace internal
}  // namespace v0
}  // namespace weft
