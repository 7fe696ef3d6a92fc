// SPDX-License-Identifier: Apache-2.0
#include "destinations/span_places.h"

#include <algorithm>
#include <utility>

#include <absl/container/flat_hash_set.h>
#include <absl/container/inlined_vector.h>

namespace weft::collector {
namespace {

constexpr std::size_t kTraceBytes = 600;
constexpr std::size_t kNodeBytes = 64;
constexpr std::size_t kWaiterBytes = 80;
constexpr std::size_t kPartBytes = 1 + 22 + RunId::kTextSize;  // Of a dotted order.

std::int64_t MicrosOf(std::uint64_t unix_ns) { return static_cast<std::int64_t>(unix_ns / 1000); }

// Of the root, which has the trace's id.
RunId FirstId(std::string_view order) {
  const std::size_t zone = std::min(order.find('Z'), order.size() - 1);
  return RunId::Parse(order.substr(zone + 1, RunId::kTextSize)).value_or(RunId());
}

// Of the parent that the span waits for.
SpanId ParentOf(const SpanIds& ids) {
  if (!ids.parent_run_id.IsNil()) return ShortId(ids.parent_run_id);
  return ids.parent_span_id != 0 ? ids.parent_span_id : ids.traceable_parent_span_id;
}

}  // namespace

SpanPlaces::Trace& SpanPlaces::TraceOf(const RunId& otel_trace_id) {
  const auto [found, added] = traces_.try_emplace(otel_trace_id);
  if (added) {
    found->second = std::make_unique<Trace>();
    found->second->used = used_.insert(used_.end(), otel_trace_id);
    bytes_ += kTraceBytes;
  } else {
    used_.splice(used_.end(), used_, found->second->used);
  }
  return *found->second;
}

std::uint32_t SpanPlaces::FindParent(const Trace& trace, const SpanIds& ids) {
  if (!ids.parent_run_id.IsNil()) {
    const auto& nodes = trace.nodes;
    const auto is_parent = [&](const Node& node) { return node.run_id == ids.parent_run_id; };
    const auto node = std::find_if(nodes.rbegin(), nodes.rend(), is_parent);
    if (node != nodes.rend()) return static_cast<std::uint32_t>(nodes.rend() - node) - 1;
  }
  for (const SpanId parent :
       {ids.parent_span_id, ids.traceable_parent_span_id, ShortId(ids.parent_run_id)}) {
    const auto node = trace.by_span.find(parent);
    if (parent != 0 && parent != ids.span_id && node != trace.by_span.end()) return node->second;
  }
  // A trace has one root; what says that it is another one is its child.
  return ids.is_root ? trace.root : kNone;
}

std::optional<RunPlace> SpanPlaces::Settle(const SpanIds& ids, std::uint64_t now_us) {
  Trace& trace = TraceOf(ids.otel_trace_id);
  trace.earliest_start_ns = std::min(trace.earliest_start_ns, ids.start_unix_ns);
  const bool is_root = ids.is_root && (trace.root == kNone || trace.made_up || ids.names_run_id);
  const std::uint32_t parent = is_root ? kNone : FindParent(trace, ids);
  if (!is_root && parent == kNone && ids.dotted_order.empty()) return std::nullopt;
  RunPlace place = is_root                     ? PlaceRoot(trace, ids, now_us)
                   : !ids.dotted_order.empty() ? PlaceGiven(trace, ids)
                                               : PlaceChild(trace, ids, parent);
  Free(trace, ids.span_id);
  Free(trace, ShortId(place.run_id));
  Shrink();
  return place;
}

RunPlace SpanPlaces::PlaceRoot(Trace& trace, const SpanIds& ids, std::uint64_t now_us) {
  std::uint32_t node = trace.root;
  if (trace.made_up && ids.run_id == trace.nodes[trace.root].run_id) {
    // Children have its order already, so it stays.
  } else {
    node = AddNode(trace, ids.run_id, MicrosOf(ids.start_unix_ns), kNone, ids.dotted_order);
    trace.root = node;
    trace.run_trace_id = ids.trace_id;
  }
  trace.made_up = false;
  trace.root_seen_us = now_us;
  trace.by_span[ids.span_id] = node;
  if (!trace.waiters.empty()) SetDue(trace, now_us + options_.grace_us);
  return {ids.run_id, ids.trace_id, {}, OrderOf(trace, node), false};
}

RunPlace SpanPlaces::PlaceGiven(Trace& trace, const SpanIds& ids) {
  if (trace.run_trace_id.IsNil()) trace.run_trace_id = ids.trace_id;
  trace.by_span[ids.span_id] =
      AddNode(trace, ids.run_id, MicrosOf(ids.start_unix_ns), kNone, ids.dotted_order);
  return {ids.run_id, ids.trace_id, ids.parent_run_id, ids.dotted_order, false};
}

RunPlace SpanPlaces::PlaceChild(Trace& trace, const SpanIds& ids, std::uint32_t parent) {
  // A second root cannot have the trace's id.
  const RunId run_id = ids.is_root && !ids.names_run_id ? PaddedRunId(ids.span_id) : ids.run_id;
  RunPlace place{run_id, RunId(), trace.nodes[parent].run_id, OrderOf(trace, parent), false};
  place.trace_id = FirstId(place.dotted_order);
  std::int64_t part_us = MicrosOf(ids.start_unix_ns);
  std::string& order = place.dotted_order;
  const std::string earliest(LastTime(order));
  const std::size_t parent_bytes = order.size();
  AppendPart(part_us, run_id, order);
  // Clocks of machines differ, but an order must not go back.
  place.clock_fixed = LastTime(order) < earliest;
  if (place.clock_fixed) {
    part_us = trace.nodes[parent].part_us;
    order.resize(parent_bytes);
    order += '.' + earliest + run_id.ToString();
  }
  trace.by_span[ids.span_id] = AddNode(trace, run_id, part_us, parent, "");
  return place;
}

std::uint32_t SpanPlaces::AddNode(Trace& trace, const RunId& run_id, std::int64_t part_us,
                                  std::uint32_t parent, std::string given) {
  Node& node = trace.nodes.emplace_back(Node{run_id, part_us, parent, kNone});
  bytes_ += kNodeBytes;
  if (!given.empty()) {
    node.given = static_cast<std::uint32_t>(trace.given.size());
    bytes_ += given.size();
    trace.given.push_back(std::move(given));
  }
  return static_cast<std::uint32_t>(trace.nodes.size() - 1);
}

std::string SpanPlaces::OrderOf(const Trace& trace, std::uint32_t node) {
  absl::InlinedVector<std::uint32_t, 16> path;
  for (; node != kNone; node = trace.nodes[node].parent) {
    path.push_back(node);
    if (trace.nodes[node].given != kNone) break;
  }
  std::string order;
  order.reserve((path.size() + 1) * kPartBytes);  // A child's comes behind it.
  for (auto at = path.rbegin(); at != path.rend(); ++at) {
    const Node& step = trace.nodes[*at];
    if (step.given != kNone) {
      order = trace.given[step.given];
    } else {
      AppendPart(step.part_us, step.run_id, order);
    }
  }
  return order;
}

void SpanPlaces::Wait(const SpanIds& ids, OpPlace place, std::uint64_t now_us) {
  Trace& trace = TraceOf(ids.otel_trace_id);
  if (trace.waiters.empty()) {
    const std::uint64_t patience =
        trace.root == kNone || trace.made_up ? options_.max_wait_us : options_.grace_us;
    SetDue(trace, now_us + patience);
  }
  trace.waiters[ParentOf(ids)].push_back({place, ids.span_id, now_us});
  ++waiting_;
  bytes_ += kWaiterBytes;
}

void SpanPlaces::Free(Trace& trace, SpanId parent) {
  const auto found = trace.waiters.find(parent);
  if (found == trace.waiters.end()) return;
  for (const Waiter& waiter : found->second) freed_.push_back(waiter.place);
  waiting_ -= found->second.size();
  bytes_ -= found->second.size() * kWaiterBytes;
  trace.waiters.erase(found);
  if (trace.waiters.empty()) SetDue(trace, 0);
}

void SpanPlaces::SetDue(Trace& trace, std::uint64_t due_us) {
  if (trace.due_us != 0) due_.erase({trace.due_us, *trace.used});
  trace.due_us = due_us;
  if (due_us != 0) due_.emplace(due_us, *trace.used);
}

std::uint64_t SpanPlaces::DueOf(const Trace& trace, const Waiter& waiter) const {
  const std::uint64_t latest = waiter.since_us + options_.max_wait_us;
  if (trace.root == kNone || trace.made_up) return latest;
  return std::min(latest, std::max(trace.root_seen_us, waiter.since_us) + options_.grace_us);
}

std::optional<SpanPlaces::Missing> SpanPlaces::NextMissing(std::uint64_t now_us) {
  if (bytes_ > options_.max_bytes && !due_.empty()) now_us = due_.begin()->first;
  while (!due_.empty() && due_.begin()->first <= now_us) {
    const RunId id = due_.begin()->second;
    Trace& trace = *traces_.at(id);
    std::uint64_t next_due = 0;
    Missing missing = MissingIn(id, trace, now_us, &next_due);
    // Spans whose parents are missing are free soon; if they are not, they are looked at again.
    SetDue(trace, next_due > 0 ? next_due : now_us + 1 + options_.grace_us);
    if (!missing.parents.empty()) return missing;
  }
  return std::nullopt;
}

// A parent that waits itself is not missing: its own parent is, or one further up.
SpanPlaces::Missing SpanPlaces::MissingIn(const RunId& id, const Trace& trace, std::uint64_t now_us,
                                          std::uint64_t* next_due) const {
  absl::flat_hash_set<SpanId> present;
  for (const auto& [parent, waiters] : trace.waiters) {
    for (const Waiter& waiter : waiters) present.insert(waiter.span);
  }
  Missing missing;
  missing.otel_trace_id = id;
  missing.trace_id = trace.run_trace_id.IsNil() ? id : trace.run_trace_id;
  bool absent = false;
  for (const auto& [parent, waiters] : trace.waiters) {
    if (present.contains(parent)) continue;
    absent = true;
    const std::uint64_t due = DueOf(trace, waiters.front());
    if (due <= now_us) {
      missing.parents.push_back(parent);
      missing.sample = waiters.front().place;
    } else if (*next_due == 0 || due < *next_due) {
      *next_due = due;
    }
  }
  if (!absent) {  // spans in a circle
    missing.parents.push_back(trace.waiters.begin()->first);
    missing.sample = trace.waiters.begin()->second.front().place;
  }
  return missing;
}

void SpanPlaces::Found(const Missing& missing, SpanId parent, const RunPlace& place) {
  Trace& trace = TraceOf(missing.otel_trace_id);
  if (trace.run_trace_id.IsNil()) trace.run_trace_id = place.trace_id;
  const std::uint32_t node = AddNode(trace, place.run_id, 0, kNone, place.dotted_order);
  trace.by_span[parent] = node;
  if (place.run_id == place.trace_id && trace.root == kNone) trace.root = node;
  Free(trace, parent);
}

std::optional<RunPlace> SpanPlaces::Adopt(const Missing& missing, SpanId parent) {
  Trace& trace = TraceOf(missing.otel_trace_id);
  std::optional<RunPlace> made;
  if (trace.root == kNone) {
    trace.run_trace_id = missing.trace_id;
    trace.root = AddNode(trace, missing.trace_id, MicrosOf(trace.earliest_start_ns), kNone, "");
    trace.made_up = true;
    made = RunPlace{missing.trace_id, missing.trace_id, {}, OrderOf(trace, trace.root), false};
  }
  trace.by_span[parent] = trace.root;
  Free(trace, parent);
  return made;
}

bool SpanPlaces::ReplacesMadeUp(const SpanIds& ids) const {
  const auto found = traces_.find(ids.otel_trace_id);
  if (found == traces_.end() || !ids.is_root) return false;
  const Trace& trace = *found->second;
  return trace.made_up && trace.nodes[trace.root].run_id == ids.run_id;
}

void SpanPlaces::Shrink() {
  // What is waited in is not forgotten, but looked at again later.
  for (int looks = 0; bytes_ > options_.max_bytes && looks < 16 && used_.size() > 1; ++looks) {
    const auto trace = traces_.find(used_.front());
    if (!trace->second->waiters.empty()) {
      used_.splice(used_.end(), used_, used_.begin());
      continue;
    }
    bytes_ -= kTraceBytes + trace->second->nodes.size() * kNodeBytes;
    for (const std::string& given : trace->second->given) bytes_ -= given.size();
    traces_.erase(trace);
    used_.pop_front();
  }
}

std::vector<OpPlace> SpanPlaces::Waiting() const {
  std::vector<OpPlace> places = freed_;
  for (const auto& [id, trace] : traces_) {
    for (const auto& [parent, waiters] : trace->waiters) {
      for (const Waiter& waiter : waiters) places.push_back(waiter.place);
    }
  }
  std::sort(places.begin(), places.end());
  return places;
}

void SpanPlaces::Clear() {
  traces_.clear();
  used_.clear();
  due_.clear();
  freed_.clear();
  waiting_ = 0;
  bytes_ = 0;
}

}  // namespace weft::collector
