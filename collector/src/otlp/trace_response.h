// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <weft/collector/ingest.h>

namespace weft::collector {

/// The bodies of OTLP's answers, as protobuf or as JSON.

/// An ExportTraceServiceResponse: empty when every span was accepted, else with `partial_success`.
std::string TraceResponse(const std::vector<RejectedOp>& rejected, bool as_json);

/// A google.rpc.Status. `code` is gRPC's.
std::string RpcStatus(int code, std::string_view message, bool as_json);

}  // namespace weft::collector
