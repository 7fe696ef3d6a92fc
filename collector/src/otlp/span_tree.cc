// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_tree.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "utc_time.h"

namespace weft::collector {
namespace {

// Of a dotted order: some 500 levels. An order repeats all of its parent's, so that deep chains
// would take memory by the square of their length.
constexpr std::size_t kMaxOrderBytes = 32u << 10;

}  // namespace

std::string TimeOfPart(std::int64_t unix_us) {
  const auto text = OrderTimeText(unix_us);
  return {text.data(), text.size()};
}

// Put together here, it is one piece for the string.
void AppendPart(std::int64_t unix_us, const RunId& run_id, std::string& order) {
  std::array<char, 1 + kOrderTimeBytes + RunId::kTextSize> part;
  const auto time = OrderTimeText(unix_us);
  part[0] = '.';
  std::memcpy(&part[1], time.data(), time.size());
  run_id.Write(&part[1 + kOrderTimeBytes]);
  const std::size_t skipped = order.empty() ? 1 : 0;
  order.append(part.data() + skipped, part.size() - skipped);
}

std::string_view LastTime(std::string_view order) {
  // Not rfind, which looks at one character after the other.
  const void* const dot = ::memrchr(order.data(), '.', order.size());
  if (dot != nullptr) {
    order.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(dot) - order.data()) + 1);
  }
  return order.substr(0, order.size() - std::min(order.size(), RunId::kTextSize));
}

void SpanTree::AddSpan(const SpanIds& span) {
  if (!by_span_.try_emplace({span.otel_trace_id, span.span_id}, nodes_.size()).second) return;
  Node node;
  node.ids = span;
  node.is_span = true;
  nodes_.push_back(std::move(node));
}

void SpanTree::AddRun(const RunPlace& run) {
  if (!by_run_.try_emplace(run.run_id, nodes_.size()).second) return;
  by_short_run_.try_emplace({run.trace_id, ShortId(run.run_id)}, nodes_.size());
  Node node;
  node.place = run;
  node.state = State::kSettled;
  nodes_.push_back(std::move(node));
}

void SpanTree::Settle() {
  ChooseRoots();
  for (Node& node : nodes_) {
    if (node.is_span) node.state = State::kNew;
  }
  for (std::size_t at = 0; at < nodes_.size(); ++at) SettleFrom(at);
}

// A trace has one root, with the trace's id. Spans that cannot be told from it by an id of their
// own (several have no parent) are its children.
void SpanTree::ChooseRoots() {
  roots_.clear();
  std::erase_if(by_run_, [this](const auto& entry) { return nodes_[entry.second].is_span; });
  const auto choose = [this](bool has_parent) {
    for (std::size_t at = 0; at < nodes_.size(); ++at) {
      const Node& node = nodes_[at];
      if (!node.is_span || !node.ids.is_root || (node.ids.parent_span_id != 0) != has_parent) {
        continue;
      }
      roots_.try_emplace(node.ids.otel_trace_id, at);
    }
  };
  choose(false);
  choose(true);
  for (std::size_t at = 0; at < nodes_.size(); ++at) {
    Node& node = nodes_[at];
    if (!node.is_span) continue;
    const auto root = roots_.find(node.ids.otel_trace_id);
    node.is_root = node.ids.is_root && (node.ids.names_run_id || root->second == at);
    node.place.run_id =
        node.ids.is_root && !node.is_root ? PaddedRunId(node.ids.span_id) : node.ids.run_id;
    by_run_.try_emplace(node.place.run_id, at);
  }
}

std::size_t SpanTree::FindParent(std::size_t at) const {
  const SpanIds& ids = nodes_[at].ids;
  const auto find = [at](const auto& map, const auto& key) {
    const auto found = map.find(key);
    return found == map.end() || found->second == at ? kNone : found->second;
  };
  if (!ids.parent_run_id.IsNil()) {
    const std::size_t parent = find(by_run_, ids.parent_run_id);
    // LangSmith's SDK for JavaScript names every parent by its span id; a root has another run id.
    const SpanId span = ShortId(ids.parent_run_id);
    if (parent != kNone || ids.parent_run_id != PaddedRunId(span)) return parent;
    return find(by_span_, Key{ids.otel_trace_id, span});
  }
  if (ids.parent_span_id != 0) {
    std::size_t parent = find(by_span_, Key{ids.otel_trace_id, ids.parent_span_id});
    if (parent == kNone) parent = find(by_short_run_, Key{ids.trace_id, ids.parent_span_id});
    if (parent != kNone) return parent;
  }
  if (ids.traceable_parent_span_id != 0) {
    return find(by_span_, Key{ids.otel_trace_id, ids.traceable_parent_span_id});
  }
  return ids.is_root ? find(roots_, ids.otel_trace_id) : kNone;
}

// Without recursion, for a chain of spans may be long.
void SpanTree::SettleFrom(std::size_t at) {
  std::vector<std::size_t> chain;
  while (at != kNone && nodes_[at].state == State::kNew) {
    Node& node = nodes_[at];
    node.state = State::kVisiting;
    node.parent = node.is_root ? kNone : FindParent(at);
    chain.push_back(at);
    at = node.parent;
  }
  // Spans in a circle have no parent that could be told.
  if (at != kNone && nodes_[at].state == State::kVisiting) nodes_[chain.back()].parent = kNone;
  for (; !chain.empty(); chain.pop_back()) {
    Place(nodes_[chain.back()]);
    nodes_[chain.back()].state = State::kSettled;
  }
}

void SpanTree::Place(Node& node) {
  const SpanIds& ids = node.ids;
  const Node* parent = node.parent == kNone ? nullptr : &nodes_[node.parent];
  RunPlace& place = node.place;
  place.trace_id = ids.trace_id;
  place.parent_run_id = RunId();
  place.dotted_order.clear();
  place.clock_fixed = false;
  std::string time = TimeOfPart(static_cast<std::int64_t>(ids.start_unix_ns / 1000));
  if (node.is_root) {
    place.dotted_order =
        ids.dotted_order.empty() ? time + place.run_id.ToString() : ids.dotted_order;
    return;
  }
  if (parent == nullptr) {
    place.parent_run_id = !ids.parent_run_id.IsNil()
                              ? ids.parent_run_id
                              : PaddedRunId(ids.parent_span_id != 0 ? ids.parent_span_id
                                                                    : ids.traceable_parent_span_id);
    // Whoever named the whole ancestry knew it.
    place.dotted_order = ids.dotted_order;
    const auto root = roots_.find(ids.otel_trace_id);
    if (!ids.names_trace_id && root != roots_.end()) {
      place.trace_id = nodes_[root->second].ids.trace_id;
    }
    return;
  }
  place.parent_run_id = parent->place.run_id;
  if (!ids.names_trace_id) place.trace_id = parent->place.trace_id;
  if (!ids.dotted_order.empty()) {
    place.dotted_order = ids.dotted_order;
  } else if (!parent->place.dotted_order.empty() && parent->place.trace_id == place.trace_id &&
             parent->place.dotted_order.size() < kMaxOrderBytes) {
    const std::string_view earliest = LastTime(parent->place.dotted_order);
    // Clocks of machines differ, but an order must not go back.
    place.clock_fixed = time < earliest;
    if (place.clock_fixed) time = earliest;
    place.dotted_order = parent->place.dotted_order + '.' + time + place.run_id.ToString();
  }
}

const RunPlace& SpanTree::PlaceOf(const SpanIds& span) const {
  return nodes_[by_span_.at({span.otel_trace_id, span.span_id})].place;
}

}  // namespace weft::collector
