// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <mutex>

#include <weft/tracing/run_context.h>
#include <weft/tracing/run_id.h>

#include "root_lot.h"
#include "run_node.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// What a run hands on: in headers, and to runs below it in this process.
struct Baggage {
  std::shared_ptr<const TraceBaggage> own;
  std::shared_ptr<const TraceBaggage> inherited;  ///< Null: the same.
};

/// A run that is out of the sample and that nobody holds back: all there is to it is who it is, and
/// in most cases nobody asks. So that is made up by the first who does: headers, or a run below
/// that is recorded.
///
/// Threads: any.
class UnrecordedRun final : public LocalRun {
 public:
  struct Origin {
    RunContext parent{};  ///< Empty: the run is a root.
    Baggage baggage{};    ///< None: RootBaggage; of roots only.
  };

  /// Makes one, in memory of such a run that ended on this thread if there is some. `id` nil: not
  /// known yet. `lot`: null, or the tracer's that did not fall on it.
  static std::shared_ptr<UnrecordedRun> Make(TracerRef&& tracer, const AmbientPtr* ambient,
                                             std::chrono::system_clock::time_point start,
                                             const RunId& id, const RootLot* lot);
  static std::shared_ptr<UnrecordedRun> Make(TracerRef&& tracer, const AmbientPtr* ambient,
                                             std::chrono::system_clock::time_point start,
                                             const RunId& id, const RootLot* lot, Origin origin);

  UnrecordedRun(TracerRef&& tracer, const AmbientPtr* ambient,
                std::chrono::system_clock::time_point start, const RunId& id,
                const RootLot* lot) noexcept
      : LocalRun(std::move(tracer), ambient), start_(start), lot_(lot), id_(id) {}

  const std::shared_ptr<const TraceBaggage>& inherited() const noexcept override;

 private:
  void Identify() const noexcept override;

  const std::chrono::system_clock::time_point start_;
  const RootLot* const lot_;
  mutable std::once_flag identified_;
  std::unique_ptr<const Origin> origin_;  // Null: a root with RootBaggage.
  const RunId id_;                        // Nil: not known yet.
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
