// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <weft/collector/prices.h>
#include <weft/collector/record.h>

#include "otlp/span_ids.h"
#include "otlp/span_tree.h"

namespace weft::collector {

/// A span as LangSmith has it: `ops[0]` is a POST of the whole run, attachments included; the
/// others are feedback. Their parts count in `payload`.
struct SpanRun {
  std::vector<RunOp> ops;
  std::string payload;
};

struct SpanToRunOptions {
  /// Attributes that have no place in a run go to `extra.metadata.otel_attributes`.
  bool other_attributes = true;
  /// Of those, the values of one span may take this many bytes; longer ones are left out.
  std::size_t max_other_bytes = 256u << 10;
  /// For spans that tell tokens and no cost; null: none.
  const Prices* prices = nullptr;
};

/// Makes a run of a span (docs/spans-as-runs.md). `op` is the operation of a record of
/// Receiver::kOtlp, `payload` the record's decoded payload.
///
///     const SpanIds ids = ReadSpanIds(SlicesOf(op, payload).span);
///     ...                                                  // a SpanTree gives the place
///     SpanRun run = SpanToRun(op, payload, tree.PlaceOf(ids));
///     sink.Send({{&run.ops[0], run.payload, received_us, seq}}, key, abort);
///
/// The run has `dotted_order` and `parent_run_id` as `place` says; an empty dotted order is left
/// out. It has `session_name` where the operation has a project.
///
/// Threads: any.
/// Cost: about 2 us for a span of 2 KB, and 1 byte of JSON a byte of the span.
SpanRun SpanToRun(const RunOp& op, std::string_view payload, const RunPlace& place,
                  const SpanToRunOptions& options = {});

/// The same of a span whose ids were read: the operations come to the end of `ops`, and what they
/// say to the end of `text`, in which the parts count.
void AppendRun(const RunOp& op, std::string_view payload, const SpanIds& ids, const RunPlace& place,
               std::vector<RunOp>* ops, std::string* text, const SpanToRunOptions& options = {});

}  // namespace weft::collector
