// SPDX-License-Identifier: Apache-2.0
#include "run_store_spans.h"

#include <utility>

namespace weft::collector {

void FoundSpans::Add(std::uint64_t seq, std::size_t index, const RunOp& op,
                     std::string_view payload) {
  Span span;
  span.found = {.seq = seq, .index = index, .op = &op, .payload = payload};
  span.ids = ReadSpanIds(SlicesOf(op, payload).span);
  tree_.AddSpan(span.ids);
  spans_.push_back(std::move(span));
}

void FoundSpans::AddRun(const StoredRun& run) {
  RunPlace place;
  place.run_id = run.id;
  place.trace_id = run.trace_id;
  place.parent_run_id = run.parent_run_id;
  place.dotted_order = run.dotted_order;
  tree_.AddRun(place);
}

FoldOp FoundSpans::Convert(std::size_t span) {
  FoldOp op = spans_[span].found;
  const SpanRun& run =
      runs_.emplace_back(SpanToRun(*op.op, op.payload, PlaceOf(span), {.prices = prices_}));
  op.op = &run.ops.front();
  op.payload = run.payload;
  return op;
}

}  // namespace weft::collector
