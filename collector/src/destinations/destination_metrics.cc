// SPDX-License-Identifier: Apache-2.0
#include "destinations/destination_metrics.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

namespace weft::collector {
namespace {

// Of the state that it has, 1; of the others, 0.
void WriteCircuits(const std::vector<NamedStats>& all, MetricsWriter& out) {
  out.Family("weft_dest_circuit", "gauge", "Whether it is sent to, or spared for its failures.");
  const std::pair<Circuit, const char*> states[] = {
      {Circuit::kClosed, "closed"}, {Circuit::kOpen, "open"}, {Circuit::kProbing, "probing"}};
  for (const NamedStats& named : all) {
    for (const auto& [state, name] : states) {
      out.Sample({{"dest", named.dest}, {"state", name}}, named.stats.circuit == state ? 1 : 0);
    }
  }
}

void WriteParked(const std::vector<NamedStats>& all, MetricsWriter& out) {
  out.Family("weft_dest_parked_runs", "gauge", "Operations that it refused, parked now.");
  for (const NamedStats& named : all) {
    for (const auto& [code, operations] : named.stats.parked_by_code) {
      out.Sample({{"dest", named.dest}, {"reason", code}}, static_cast<double>(operations));
    }
    out.Sample({{"dest", named.dest}, {"reason", "unkept"}},
               static_cast<double>(named.stats.parked_unkept));
  }
}

}  // namespace

double LagSeconds(const DestinationStats& stats) {
  if (stats.oldest_pending_us == 0) return 0;
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  return std::max(0.0,
                  (static_cast<double>(now) - static_cast<double>(stats.oldest_pending_us)) / 1e6);
}

void WriteDestinationMetrics(const std::vector<NamedStats>& all, MetricsWriter& out) {
  const auto count = [&](std::string_view name, std::string_view type, std::string_view help,
                         std::uint64_t DestinationStats::*value) {
    out.Family(name, type, help);
    for (const NamedStats& named : all) {
      out.Sample({{"dest", named.dest}}, static_cast<double>(named.stats.*value));
    }
  };
  using S = DestinationStats;
  count("weft_dest_logged_runs_total", "counter", "Operations in the log for it.", &S::available);
  count("weft_dest_sent_runs_total", "counter", "Operations delivered.", &S::sent);
  count("weft_dest_filtered_runs_total", "counter", "Operations that it has no place for.",
        &S::filtered);
  WriteParked(all, out);
  count("weft_dest_discarded_runs_total", "counter", "Parked operations that were deleted.",
        &S::discarded);
  count("weft_dest_lag_runs", "gauge", "Operations that wait.", &S::lag);
  count("weft_dest_open_runs", "gauge", "Of these, operations of runs that have not ended.",
        &S::open);
  count("weft_dest_expired_runs_total", "counter", "Operations that went before they were read.",
        &S::expired);
  count("weft_dest_expired_records_total", "counter", "Records that went before they were read.",
        &S::expired_records);
  count("weft_traces_open", "gauge", "Traces of which runs wait for others, or for their end.",
        &S::open_traces);
  count("weft_orphans_total", "counter", "Spans whose parents never came.", &S::orphans);
  count("weft_dest_held_keys", "gauge", "Keys that it refuses (401, 403); their runs wait.",
        &S::held_keys);
  count("weft_dest_throttled_keys", "gauge", "Keys of which it takes no more for a while (429).",
        &S::throttled_keys);
  count("weft_dest_batches_total", "counter", "Batches delivered.", &S::batches);
  out.Family("weft_dest_lag_seconds", "gauge", "Age of the oldest operation that could go.");
  for (const NamedStats& named : all) {
    out.Sample({{"dest", named.dest}}, LagSeconds(named.stats));
  }
  WriteCircuits(all, out);
  out.Family("weft_dest_errors_total", "counter", "Failed requests.");
  for (const NamedStats& named : all) {
    for (const auto& [code, errors] : named.stats.errors) {
      out.Sample({{"dest", named.dest}, {"code", code}}, static_cast<double>(errors));
    }
  }
}

}  // namespace weft::collector
