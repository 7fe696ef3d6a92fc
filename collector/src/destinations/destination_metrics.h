// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <weft/collector/destination.h>
#include <weft/collector/metrics.h>

namespace weft::collector {

struct NamedStats {
  std::string dest;
  DestinationStats stats;
};

/// The age of the oldest operation that waits.
double LagSeconds(const DestinationStats& stats);

/// The families `weft_dest_...` (docs/collector.md, "Metrics").
void WriteDestinationMetrics(const std::vector<NamedStats>& all, MetricsWriter& out);

}  // namespace weft::collector
