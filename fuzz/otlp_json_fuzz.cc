// SPDX-License-Identifier: Apache-2.0
// What any body of OTLP in JSON must do: be refused, or become a message that protobuf can read.
#include <string>

#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>

#include "fuzz.h"
#include "otlp/json_request.h"
#include "otlp/trace_request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
  auto bytes = weft::collector::TraceRequestFromJson(std::string(weft::fuzz::Text(data, size)));
  if (!bytes.ok()) return 0;
  const auto decoded = weft::collector::DecodeTraceRequest("", &*bytes);
  if (!decoded.ok()) return 0;  // nested too deeply
  ExportTraceServiceRequest parsed;
  weft::fuzz::Require(parsed.ParseFromString(*bytes), "protobuf reads it");
  return 0;
}
