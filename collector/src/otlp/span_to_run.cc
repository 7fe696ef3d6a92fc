// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_to_run.h"

#include <algorithm>
#include <utility>

#include "otlp/json_text.h"
#include "otlp/span_type.h"
#include "otlp/span_view.h"
#include "parked_file.h"

namespace weft::collector {
namespace {

std::string TimeOf(std::uint64_t unix_ns) { return JsonString(IsoTime(unix_ns / 1000)); }

class RunWriter {
 public:
  RunWriter(const RunOp& op, const RunPlace& place, SpanView& span, const SpanToRunOptions& options)
      : op_(op), place_(place), span_(span), options_(options) {
    span_.run_type = RunTypeOf(span_.attributes);
  }

  SpanRun Write() {
    RunOp run;
    run.run_id = place_.run_id;
    run.trace_id = place_.trace_id;
    run.is_root = place_.parent_run_id.IsNil();
    run.has_error = op_.has_error;
    run.project = op_.project;
    result_.ops.push_back(std::move(run));
    Append(PartField::kRun, RunObject());
    return std::move(result_);
  }

 private:
  void Append(PartField field, std::string_view text) {
    Part& part = result_.ops.front().parts.emplace_back();
    part.field = field;
    part.offset = result_.payload.size();
    part.length = text.size();
    result_.payload += text;
  }

  std::string RunObject() {
    JsonObjectWriter run;
    run.AddText("id", place_.run_id.ToString());
    run.AddText("trace_id", place_.trace_id.ToString());
    if (!place_.parent_run_id.IsNil())
      run.AddText("parent_run_id", place_.parent_run_id.ToString());
    if (!place_.dotted_order.empty()) run.AddText("dotted_order", place_.dotted_order);
    run.AddText("name", RunNameOf(span_));
    run.AddText("run_type", span_.run_type);
    const std::uint64_t start = span_.ids.start_unix_ns, end = span_.ids.end_unix_ns;
    run.Add("start_time", TimeOf(start));
    if (end != 0) run.Add("end_time", TimeOf(std::max(start, end)));
    if (!op_.project.empty()) run.AddText("session_name", op_.project);
    if (const std::string error = RunErrorOf(span_); !error.empty()) run.AddText("error", error);
    return run.Take();
  }

  const RunOp& op_;
  const RunPlace& place_;
  SpanView& span_;
  const SpanToRunOptions& options_;
  SpanRun result_;
};

}  // namespace

SpanRun SpanToRun(const RunOp& op, std::string_view payload, const RunPlace& place,
                  const SpanToRunOptions& options) {
  SpanView span(SlicesOf(op, payload));
  return RunWriter(op, place, span, options).Write();
}

}  // namespace weft::collector
