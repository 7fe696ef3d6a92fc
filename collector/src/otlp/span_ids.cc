// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_ids.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "otlp/span_check.h"

namespace weft::collector {
namespace {

constexpr std::size_t kIdText = RunId::kTextSize;

SpanId NumberOf(std::string_view bytes) {
  SpanId id = 0;
  for (const char c : bytes) id = id << 8 | static_cast<unsigned char>(c);
  return id;
}

// 16 hexadecimal digits; 0 for anything else.
SpanId FromHex(std::string_view text) {
  if (text.size() != 16) return 0;
  SpanId id = 0;
  for (const char c : text) {
    const char lower = static_cast<char>(c | 0x20);
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (lower < 'a' || lower > 'f')) return 0;
    id = id << 4 | static_cast<SpanId>(digit ? c - '0' : lower - 'a' + 10);
  }
  return id;
}

// The ids of a dotted order; empty for what is none.
std::vector<RunId> IdsOf(std::string_view order) {
  std::vector<RunId> ids;
  while (!order.empty()) {
    const std::size_t end = std::min(order.find('.'), order.size());
    const std::string_view part = order.substr(0, end);
    const std::optional<RunId> id = part.size() > kIdText + 16
                                        ? RunId::Parse(part.substr(part.size() - kIdText))
                                        : std::nullopt;
    if (!id || part[8] != 'T' || part[part.size() - kIdText - 1] != 'Z') return {};
    ids.push_back(*id);
    order.remove_prefix(std::min(end + 1, order.size()));
  }
  return ids;
}

void TakeId(std::string_view text, RunId* id, bool* named) {
  if (text.empty()) return;
  const std::optional<RunId> parsed = RunId::Parse(text);
  if (!parsed || parsed->IsNil()) return;
  *id = *parsed;
  *named = true;
}

}  // namespace

SpanSlices SlicesOf(const RunOp& op, std::string_view payload) {
  SpanSlices slices;
  for (const Part& part : op.parts) {
    if (part.offset > payload.size()) continue;
    const std::string_view text = payload.substr(part.offset, part.length);
    if (part.field == PartField::kSpan) slices.span = text;
    if (part.field == PartField::kResource) slices.resource = text;
    if (part.field == PartField::kScope) slices.scope = text;
  }
  return slices;
}

RunId PaddedRunId(SpanId span_id) {
  RunId id;
  for (std::size_t i = 0; i < 8; ++i) {
    id.bytes[15 - i] = static_cast<std::uint8_t>(span_id >> (8 * i));
  }
  return id;
}

SpanId ShortId(const RunId& id) {
  SpanId last = 0;
  for (std::size_t i = 8; i < 16; ++i) last = last << 8 | id.bytes[i];
  return last;
}

SpanIds SpanFacts::Ids() const {
  SpanIds ids;
  if (Defect() != nullptr) return ids;
  std::copy(trace_id.begin(), trace_id.end(), ids.otel_trace_id.bytes.begin());
  ids.span_id = NumberOf(span_id);
  ids.parent_span_id = NumberOf(parent_span_id);
  // LangSmith's SDK for Python gives a root a parent that never comes: the first half of its id.
  if (parent_span_id == trace_id.substr(0, 8)) ids.parent_span_id = 0;
  ids.traceable_parent_span_id = FromHex(traceable_parent);
  ids.start_unix_ns = start_unix_ns;
  ids.end_unix_ns = end_unix_ns;
  ids.has_error = has_error;
  ids.project = project;
  bool names_parent = false;
  TakeId(langsmith_trace_id, &ids.trace_id, &ids.names_trace_id);
  TakeId(langsmith_span_id, &ids.run_id, &ids.names_run_id);
  TakeId(langsmith_parent_id, &ids.parent_run_id, &names_parent);
  if (!ids.names_trace_id) ids.trace_id = ids.otel_trace_id;

  const std::vector<RunId> order = IdsOf(dotted_order);
  const bool fits =
      !order.empty() && ids.names_run_id && order.back() == ids.run_id &&
      (!ids.names_trace_id || order.front() == ids.trace_id) &&
      (!names_parent || (order.size() > 1 && order[order.size() - 2] == ids.parent_run_id));
  if (fits) {
    ids.dotted_order = dotted_order;
    ids.trace_id = order.front();
    ids.names_trace_id = true;
    if (order.size() > 1) ids.parent_run_id = order[order.size() - 2];
  }

  const bool has_parent =
      ids.parent_span_id != 0 || ids.traceable_parent_span_id != 0 || !ids.parent_run_id.IsNil();
  const bool is_own_trace = ids.names_run_id && ids.names_trace_id && ids.run_id == ids.trace_id;
  ids.is_root = says_root || !has_parent || is_own_trace;
  if (ids.is_root) {
    ids.parent_run_id = RunId();
    // A root has its trace's id.
    if (ids.names_run_id) ids.trace_id = ids.run_id;
    if (order.size() != 1) ids.dotted_order.clear();
  }
  if (!ids.names_run_id) ids.run_id = ids.is_root ? ids.trace_id : PaddedRunId(ids.span_id);
  return ids;
}

SpanIds ReadSpanIds(std::string_view span) {
  SpanFacts facts;
  SpanChecker checker;
  return checker.CheckSpan(span, &facts) ? facts.Ids() : SpanIds{};
}

}  // namespace weft::collector
