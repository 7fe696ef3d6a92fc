// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "destinations/stage.h"
#include "otlp/span_ids.h"
#include "otlp/span_tree.h"

namespace weft::collector {

struct SpanPlacesOptions {
  /// Once the root is there, how long a span still waits for its parent.
  std::uint64_t grace_us = 2'000'000;
  /// How long it waits anyway.
  std::uint64_t max_wait_us = 60'000'000;
  /// Traces that nothing waits in are forgotten beyond it, the least used first; then no more
  /// waits.
  std::size_t max_bytes = std::size_t{64} << 20;
};

/// Settles ids, parents and dotted orders of spans while they arrive: children before parents, and
/// some parents never. By SpanTree's rules, but with what is known so far and in little memory.
///
///     std::optional<RunPlace> place = places.Settle(ids, now);
///     if (!place) places.Wait(ids, op_place, now);
///     for (OpPlace freed : places.TakeFreed()) ...         // Settle them again: it works now
///     while (auto missing = places.NextMissing(now)) ...   // Found or Adopt each parent
///
/// Times are in microseconds.
/// Threads: one at a time.
/// Cost: about 65 bytes a span that is known and 80 for one that waits.
class SpanPlaces {
 public:
  explicit SpanPlaces(SpanPlacesOptions options = {}) : options_(options) {}

  /// The place of a span, which is remembered, if all of its ancestors are known. Spans that waited
  /// for it are free then.
  std::optional<RunPlace> Settle(const SpanIds& ids, std::uint64_t now_us);

  /// Remembers that the span waits for its parent.
  void Wait(const SpanIds& ids, OpPlace place, std::uint64_t now_us);

  /// What need not wait any longer.
  std::vector<OpPlace> TakeFreed() { return std::exchange(freed_, {}); }

  /// Parents of one trace that did not come in time.
  struct Missing {
    RunId otel_trace_id{};
    RunId trace_id{};
    std::vector<SpanId> parents;
    OpPlace sample;  ///< A span that waits.
  };
  std::optional<Missing> NextMissing(std::uint64_t now_us);

  /// A parent that turned out to be known elsewhere. Its children are free.
  void Found(const Missing& missing, SpanId parent, const RunPlace& place);
  /// Gives its children to the root; makes one up where there is none, whose place is returned: it
  /// must go out before them.
  std::optional<RunPlace> Adopt(const Missing& missing, SpanId parent);

  /// Whether the span is the real root of a trace whose root was made up.
  bool ReplacesMadeUp(const SpanIds& ids) const;

  std::vector<OpPlace> Waiting() const;
  std::size_t waiting() const { return waiting_ + freed_.size(); }
  /// Traces in which spans wait for their parents.
  std::size_t open_traces() const { return due_.size(); }
  std::size_t bytes() const { return bytes_; }
  void Clear();

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};

  struct Node {
    RunId run_id{};
    std::int64_t part_us = 0;  ///< The time in its part of the dotted order.
    std::uint32_t parent = kNone;
    std::uint32_t given = kNone;  ///< Where in `Trace::given` its whole order is.
  };
  struct Waiter {
    OpPlace place;
    SpanId span = 0;
    std::uint64_t since_us = 0;
  };
  struct Trace {
    RunId run_trace_id{};
    std::vector<Node> nodes;
    std::vector<std::string> given;  ///< Dotted orders that were told.
    absl::flat_hash_map<SpanId, std::uint32_t> by_span;
    absl::flat_hash_map<SpanId, std::vector<Waiter>> waiters;  ///< By parent, oldest first.
    std::uint32_t root = kNone;
    bool made_up = false;  ///< The root.
    std::uint64_t root_seen_us = 0;
    std::uint64_t earliest_start_ns = ~std::uint64_t{0};
    std::list<RunId>::iterator used;
    std::uint64_t due_us = 0;  ///< In `due_`; 0: nothing waits.
  };

  Trace& TraceOf(const RunId& otel_trace_id);
  static std::uint32_t FindParent(const Trace& trace, const SpanIds& ids);
  RunPlace PlaceRoot(Trace& trace, const SpanIds& ids, std::uint64_t now_us);
  RunPlace PlaceGiven(Trace& trace, const SpanIds& ids);
  RunPlace PlaceChild(Trace& trace, const SpanIds& ids, std::uint32_t parent);
  std::uint32_t AddNode(Trace& trace, const RunId& run_id, std::int64_t part_us,
                        std::uint32_t parent, std::string given);
  void Free(Trace& trace, SpanId parent);
  void SetDue(Trace& trace, std::uint64_t due_us);
  static std::string OrderOf(const Trace& trace, std::uint32_t node);
  std::uint64_t DueOf(const Trace& trace, const Waiter& waiter) const;
  Missing MissingIn(const RunId& id, const Trace& trace, std::uint64_t now_us,
                    std::uint64_t* next_due) const;
  void Shrink();

  const SpanPlacesOptions options_;
  absl::flat_hash_map<RunId, std::unique_ptr<Trace>> traces_;
  std::list<RunId> used_;                          ///< The trace that was used last is at the end.
  std::set<std::pair<std::uint64_t, RunId>> due_;  ///< When to look at a trace in which spans wait.
  std::vector<OpPlace> freed_;
  std::size_t waiting_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace weft::collector
