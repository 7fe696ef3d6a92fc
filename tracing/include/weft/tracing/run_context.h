// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/run_id.h>

namespace weft {
inline namespace v0 {

/// What a run hands to its descendants besides its identity; travels in the header `baggage`.
/// Immutable once a RunContext holds it, and shared by all runs of a trace that do not change it.
struct TraceBaggage {
  std::optional<std::string> project;  ///< Absent: the receiver's own default.
  std::optional<std::string> address;  ///< `lrn:agents/<id>/environments/<environment>`.
  std::vector<std::string> tags;
  JsonObject metadata;
  /// Members of `baggage` that are not LangSmith's, decoded; passed on as they came.
  std::vector<std::pair<std::string, std::string>> foreign;
  std::string tracestate;  ///< W3C; passed on.
};

/// The identity of a run and what its descendants inherit. Immutable; a copy costs one reference.
///
/// The empty RunContext stands for "no run": every accessor returns an empty value.
///
/// Threads: as safe as `std::shared_ptr<const T>`.
class RunContext {
 public:
  RunContext() noexcept = default;

  /// The context of a new root run that starts at `start`.
  static RunContext Root(RunId id, std::chrono::system_clock::time_point start,
                         std::shared_ptr<const TraceBaggage> baggage);

  /// A run of another process, known by its dotted order (already validated by TraceHeaders).
  static RunContext Remote(std::string dotted_order, RunId id, RunId trace_id,
                           std::shared_ptr<const TraceBaggage> baggage);

  /// The context of a child. Segment times of the children of one parent are made distinct, and
  /// never lie before the parent's. `baggage` null: inherits the parent's.
  RunContext Child(RunId id, std::chrono::system_clock::time_point start,
                   std::shared_ptr<const TraceBaggage> baggage = nullptr) const;

  explicit operator bool() const noexcept { return state_ != nullptr; }

  RunId id() const noexcept;
  RunId trace_id() const noexcept;
  /// The id of the run above; absent for a root and for what came in a header with one segment.
  std::optional<RunId> parent_id() const noexcept;
  /// `<time>Z<id>` per ancestor, root first, joined by `.`: the value of `langsmith-trace`.
  std::string_view dotted_order() const noexcept;
  const TraceBaggage& baggage() const noexcept;
  std::shared_ptr<const TraceBaggage> shared_baggage() const noexcept;
  bool is_remote() const noexcept;

  /// Whether runs of this trace are sent. Decided once, at the root or on arrival.
  bool sampled() const noexcept;
  /// The same run with another sampling decision.
  RunContext WithSampled(bool sampled) const;

 private:
  struct State;
  explicit RunContext(std::shared_ptr<const State> state) noexcept;
  std::shared_ptr<const State> state_;
};

}  // namespace v0
}  // namespace weft
