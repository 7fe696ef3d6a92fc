// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include <weft/tracing/internal/run_to_span.h>

#include "destinations/sink.h"

namespace weft::collector {

/// Sends spans to a receiver of OTLP, over gRPC or HTTP. The bytes of spans that came over OTLP
/// go out as they came; runs are mapped to spans, and must have ended (FinishedRuns).
///
/// InvalidArgument when the target is none.
absl::StatusOr<std::unique_ptr<Sink>> MakeOtlpSink(const DestinationConfig& config,
                                                   internal::SpanIdBytes span_ids);

}  // namespace weft::collector
