// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include <weft/collector/record.h>
#include <weft/collector/run_store.h>

#include "fold.h"
#include "otlp/span_to_run.h"
#include "otlp/span_tree.h"

namespace weft::collector {

/// The spans that a question found, which become runs once all are known: what a span is in its
/// trace depends on the others.
///
/// Lifetime: the operations and payloads must outlive it, and it what Convert gave.
class FoundSpans {
 public:
  /// `prices`: as of SpanToRunOptions.
  explicit FoundSpans(const Prices* prices = nullptr) : prices_(prices) {}

  /// In the order of the log.
  void Add(std::uint64_t seq, std::size_t index, const RunOp& op, std::string_view payload);

  /// A run of the same traces that was sent as such: spans may be its children.
  void AddRun(const StoredRun& run);

  bool empty() const { return spans_.empty(); }
  std::size_t size() const { return spans_.size(); }

  /// Finds everybody's place. Before, and after further Adds, there are none.
  void Settle() { tree_.Settle(); }
  const RunPlace& PlaceOf(std::size_t span) const { return tree_.PlaceOf(spans_[span].ids); }
  /// The span as an operation to be folded.
  FoldOp Convert(std::size_t span);

 private:
  struct Span {
    FoldOp found;
    SpanIds ids;
  };

  const Prices* prices_;
  std::vector<Span> spans_;
  SpanTree tree_;
  std::deque<SpanRun> runs_;
};

}  // namespace weft::collector
