// SPDX-License-Identifier: Apache-2.0
// What any body of OTLP must do: be refused, or give spans that lie in it, that protobuf itself can
// read, and that become runs of valid JSON.
#include <string>

#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>

#include "fuzz.h"
#include "langsmith/json_scanner.h"
#include "otlp/request_bytes.h"
#include "otlp/span_to_run.h"
#include "otlp/trace_request.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

namespace {

using TraceRequest = opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;

int SpansIn(const TraceRequest& request) {
  int spans = 0;
  for (const auto& resource : request.resource_spans()) {
    for (const auto& scope : resource.scope_spans()) spans += scope.spans_size();
  }
  return spans;
}

void CheckRun(const SpanRun& run) {
  Require(!run.ops.empty(), "a span is a run");
  std::string error;
  for (const RunOp& op : run.ops) {
    for (const Part& part : op.parts) {
      Require(part.offset + part.length <= run.payload.size(), "a part lies in the payload");
      if (part.field == PartField::kAttachment) continue;
      const std::string_view text = std::string_view(run.payload).substr(part.offset, part.length);
      Require(CheckJson(text, 0, &error) == JsonState::kValid, "a part is JSON");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string request(weft::fuzz::Text(data, size));
  const auto decoded = DecodeTraceRequest("project", &request);
  if (!decoded.ok()) return 0;
  TraceRequest parsed;
  Require(parsed.ParseFromString(request), "protobuf reads it");
  if (!decoded->ops.empty()) {
    Require(SpansIn(parsed) == static_cast<int>(decoded->ops.size()), "every span is there");
  }
  Prices prices;
  prices.Set({{.model = "*", .input = 1, .output = 2}});
  SpanTree tree;
  for (const RunOp& op : decoded->ops) tree.AddSpan(ReadSpanIds(SlicesOf(op, request).span));
  tree.Settle();
  for (const RunOp& op : decoded->ops) {
    const SpanIds ids = ReadSpanIds(SlicesOf(op, request).span);
    Require(ids.run_id == op.run_id && ids.trace_id == op.trace_id, "ids are read alike");
    CheckRun(SpanToRun(op, request, tree.PlaceOf(ids), {.prices = &prices}));
  }
  TraceRequest none;
  Require(none.ParseFromString(KeepSpans(request, [](std::uint64_t) { return false; })),
          "protobuf reads what is left");
  Require(SpansIn(none) == 0, "no span is left");
  return 0;
}
