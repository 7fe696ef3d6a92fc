// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <weft/collector/ingest.h>

namespace weft::collector {

class RunStore;

/// What a run and a trace may be at most.
struct RunLimits {
  /// Of a run without its attachments. A larger one is parked, or the largest fields are left out,
  /// with a marker in their place that says how large they were and the SHA-256 of what they said.
  /// A span is rejected in any case: it goes out to OTLP as it came, or not at all.
  std::uint64_t max_run_bytes = 32ull << 20;
  LargeRuns large_runs = LargeRuns::kTruncate;
  std::uint64_t max_trace_runs = 25'000;
  /// Tells which traces are full; null = none is.
  const RunStore* store = nullptr;
};

/// Cuts runs that are too large, rejects spans that are, and rejects new runs and spans of traces
/// that are full; the header fits the payload again.
///
/// Cost: nothing to speak of while there are neither.
void ApplyRunLimits(const RunLimits& limits, IngestBatch& batch);

}  // namespace weft::collector
