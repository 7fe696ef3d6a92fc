// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <weft/tracing/internal/metrics_text.h>

namespace weft::collector {

/// Writes Prometheus' text format.
///
///     MetricsWriter out;
///     out.Family("weft_log_bytes", "gauge", "Bytes of the log on disk.");
///     out.Sample({}, stats.bytes);
///     return out.Take();
class MetricsWriter {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Starts a family; the samples that follow belong to it.
  void Family(std::string_view name, std::string_view type, std::string_view help) {
    text_.Family(name, type, help);
  }
  void Sample(Labels labels, double value) { Sample("", labels, value); }
  /// With a suffix of the family's name: `_bucket`, `_sum`, `_count`.
  void Sample(std::string_view suffix, Labels labels, double value);

  std::string Take() { return text_.Take(); }

 private:
  weft::internal::MetricsText text_;
};

/// What a DurationHistogram counted so far.
struct DurationCounts {
  /// Seconds, the upper bound of each bucket but the last.
  static constexpr std::array<double, 14> kBounds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0};

  std::array<std::uint64_t, kBounds.size() + 1> buckets{};
  double seconds = 0;  ///< All together.

  std::uint64_t total() const;
  void Write(MetricsWriter& out) const;
};

/// Counts durations in buckets from 0.1 ms to 10 s.
///
/// Threads: any.
class DurationHistogram {
 public:
  void Record(std::chrono::steady_clock::duration duration) noexcept;
  DurationCounts Counts() const;

 private:
  std::array<std::atomic<std::uint64_t>, DurationCounts::kBounds.size() + 1> buckets_{};
  std::atomic<std::uint64_t> microseconds_{0};
};

/// The families that say what the process and this build are.
void WriteProcessMetrics(MetricsWriter& out);

}  // namespace weft::collector
