// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <weft/collector/record.h>

#include "otlp/span_ids.h"

namespace weft::collector {

/// Where a run belongs. `dotted_order` is empty until all of its ancestors are known, and below
/// some 500 levels.
struct RunPlace {
  RunId run_id{};
  RunId trace_id{};
  RunId parent_run_id{};  ///< Nil for a root.
  std::string dotted_order{};
  bool clock_fixed = false;  ///< It began before its parent; `dotted_order` has the parent's time.

  friend bool operator==(const RunPlace&, const RunPlace&) = default;
};

/// `20260910T002640021001Z`, the time of a part of a dotted order.
std::string TimeOfPart(std::int64_t unix_us);
/// Adds such a part, of a run, to an order that may be empty.
void AppendPart(std::int64_t unix_us, const RunId& run_id, std::string& order);
/// The time of the last part.
std::string_view LastTime(std::string_view order);

/// Settles ids, parents and dotted orders of spans within their traces, from what is known so far.
///
///     SpanTree tree;
///     for (const SpanIds& span : spans) tree.AddSpan(span);  // in the order of arrival
///     tree.Settle();
///     RunPlace place = tree.PlaceOf(span);
///
/// Children usually arrive before their parents, and a parent may have another run id than its span
/// id tells (roots, `langsmith.span.id`). So places are asked for when they are needed: the more
/// spans are known, the more places are complete. What was complete stays as it was.
///
/// Runs that are no spans take part too: a span may be the child of a run whose last 8 bytes its
/// parent id is, as `traceparent` tells it.
///
/// Threads: one at a time.
/// Cost: 250 bytes a span; Settle is linear.
class SpanTree {
 public:
  /// The same span a second time changes nothing.
  void AddSpan(const SpanIds& span);

  /// A run that was sent as such. `dotted_order` may be empty.
  void AddRun(const RunPlace& run);

  /// Call after the last Add; more may follow, and another Settle.
  void Settle();

  /// The place of a span that was added; after Settle.
  const RunPlace& PlaceOf(const SpanIds& span) const;

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  struct Key {
    RunId trace;
    SpanId span = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<RunId>()(key.trace) ^ (key.span * 0x9E3779B97F4A7C15ull);
    }
  };
  enum class State : std::uint8_t { kNew, kVisiting, kSettled };

  struct Node {
    SpanIds ids;  ///< Of a run: only run_id and trace_id.
    RunPlace place;
    std::size_t parent = kNone;
    bool is_span = false;
    bool is_root = false;
    State state = State::kNew;
  };

  void ChooseRoots();
  std::size_t FindParent(std::size_t at) const;
  void SettleFrom(std::size_t at);
  void Place(Node& node);

  std::vector<Node> nodes_;
  std::unordered_map<Key, std::size_t, KeyHash> by_span_;
  std::unordered_map<Key, std::size_t, KeyHash> by_short_run_;  ///< Trace id, last 8 bytes.
  std::unordered_map<RunId, std::size_t> by_run_;
  std::unordered_map<RunId, std::size_t> roots_;  ///< By OpenTelemetry's trace id.
};

}  // namespace weft::collector
