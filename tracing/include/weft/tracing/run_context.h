// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include <weft/tracing/run_id.h>
#include <weft/tracing/trace_baggage.h>

namespace weft {
inline namespace v0 {

/// The identity of a run and what its descendants inherit. Immutable; a copy costs one reference.
///
///     RunContext root = RunContext::Root(RunId::New(now), now, baggage);
///     RunContext step = root.Child(RunId::New(later), later);
///     metadata.emplace("langsmith-trace", step.dotted_order());
///     if (!step.baggage_header().empty()) metadata.emplace("baggage", step.baggage_header());
///
/// The empty RunContext stands for "no run": every accessor returns an empty value.
///
/// Threads: as safe as `std::shared_ptr<const T>`.
/// Cost: Root, Remote and Child make one allocation.
class RunContext {
 public:
  RunContext() noexcept = default;

  /// The context of a new root run that starts at `start`. `baggage` null: none.
  static RunContext Root(RunId id, std::chrono::system_clock::time_point start,
                         std::shared_ptr<const TraceBaggage> baggage);

  /// A run of another process, known by its dotted order. What is no dotted order (see
  /// TraceHeaders::Parse) gives the empty context.
  static RunContext Remote(std::string_view dotted_order,
                           std::shared_ptr<const TraceBaggage> baggage);

  /// The context of a child. Its segment's time never lies before the parent's, and differs from
  /// those of the parent's other children: later ones are moved up by a microsecond. The id may say
  /// another time. `baggage` null: inherits the parent's. A child of the empty context is a root.
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
  const std::shared_ptr<const TraceBaggage>& shared_baggage() const noexcept;
  /// The value of the header `baggage`, empty for none. Rendered once per TraceBaggage, by its
  /// first user; valid as long as this context or its baggage.
  std::string_view baggage_header() const;
  bool is_remote() const noexcept;

  /// Whether runs of this trace are sent. Decided once, at the root or on arrival.
  bool sampled() const noexcept { return sampled_; }
  /// The same run with another sampling decision; its children inherit that.
  RunContext WithSampled(bool sampled) const& noexcept;
  RunContext WithSampled(bool sampled) && noexcept;

  /// The same run with another baggage: in its headers, and for its children.
  RunContext WithBaggage(std::shared_ptr<const TraceBaggage> baggage) const;

  /// Whether both are the same run (of the same context, or of equal dotted orders).
  friend bool operator==(const RunContext& a, const RunContext& b) noexcept {
    return a.state_ == b.state_ || a.dotted_order() == b.dotted_order();
  }

 private:
  struct State;
  explicit RunContext(std::shared_ptr<const State> state, bool sampled) noexcept;

  std::shared_ptr<const State> state_;
  bool sampled_ = true;
};

}  // namespace v0
}  // namespace weft
