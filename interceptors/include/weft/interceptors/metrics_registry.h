// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/run_id.h>

namespace weft {
inline namespace v0 {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// A number that only grows.
///
/// Threads: any. Cost: one atomic addition.
class Counter {
 public:
  void Add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Counts values in buckets, and remembers for each bucket a trace that fell into it.
///
/// Threads: any. Cost: no lock, no allocation.
class Histogram {
 public:
  struct Exemplar {
    RunId trace;
    double value;
    std::chrono::system_clock::time_point time;
  };

  /// What was recorded up to a moment; the buckets do not add up earlier ones.
  struct Bucket {
    double upper_bound;  ///< Inclusive; the last one is infinity.
    std::uint64_t count;
    Exemplar exemplar;  ///< Nil trace: none.
  };

  /// `bounds` ascend, without infinity.
  explicit Histogram(std::span<const double> bounds);

  void Record(double value) noexcept { Count(value); }
  void Record(double value, const RunId& trace,
              std::chrono::system_clock::time_point time) noexcept {
    Remember(Count(value), value, trace, time);
  }

  /// The same, but asks for the trace, by `trace()`, only where the bucket has none of the last
  /// second.
  template <typename F>
  void Record(double value, std::chrono::system_clock::time_point time, F&& trace) noexcept {
    Cell& cell = Count(value);
    const std::int64_t age =
        time.time_since_epoch().count() - cell.time.load(std::memory_order_relaxed);
    constexpr std::chrono::system_clock::duration kFresh = std::chrono::seconds(1);
    if (age >= 0 && age < kFresh.count()) return;
    if (const RunId id = trace(); !id.IsNil()) Remember(cell, value, id, time);
  }

  std::vector<Bucket> buckets() const;
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  // Odd while somebody writes. Who comes second drops his exemplar.
  struct Cell {
    std::atomic<std::uint64_t> count{0};
    std::atomic<std::uint32_t> version{0};
    std::array<std::atomic<std::uint64_t>, 2> trace{};
    std::atomic<double> value{0};
    std::atomic<std::int64_t> time{0};
  };

  Cell& Count(double value) noexcept;
  static void Remember(Cell& cell, double value, const RunId& trace,
                       std::chrono::system_clock::time_point time) noexcept;
  static Exemplar Read(const Cell& cell) noexcept;

  std::vector<double> bounds_;
  std::unique_ptr<Cell[]> cells_;
  std::atomic<double> sum_{0};
};

/// The metrics of a program, for Prometheus to read.
///
///     auto registry = std::make_shared<weft::MetricsRegistry>();
///     weft::Counter& jobs = **registry->GetCounter("jobs_total", "Jobs done.", {{"kind",
///     "mail"}}); jobs.Add(); reply.body = registry->Prometheus(); reply.content_type =
///     weft::MetricsRegistry::kPrometheusType;
///
/// Ownership: metrics live as long as the registry.
/// Threads: any. Getting a metric takes a lock: keep the reference.
/// Errors: InvalidArgument names a name, label or bound that Prometheus would not take;
///   AlreadyExists, a family that is there with another type or other bounds.
class MetricsRegistry {
 public:
  static constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";
  static constexpr const char* kOpenMetricsType =
      "application/openmetrics-text; version=1.0.0; charset=utf-8";

  MetricsRegistry();
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;
  ~MetricsRegistry();

  /// The counter of these labels; made at the first call. A counter's name ends in `_total`.
  absl::StatusOr<Counter*> GetCounter(std::string_view family, std::string_view help,
                                      const MetricLabels& labels);
  /// The histogram of these labels. `bounds` ascend; a bucket up to infinity comes on top.
  absl::StatusOr<Histogram*> GetHistogram(std::string_view family, std::string_view help,
                                          const MetricLabels& labels,
                                          std::span<const double> bounds);

  /// What Prometheus reads when it asks for text.
  std::string Prometheus() const;
  /// What it reads when it accepts OpenMetrics: the same, with exemplars (label `trace_id`).
  std::string OpenMetrics() const;

  /// For exporters of other kinds, in the order of registration.
  struct Series {
    const MetricLabels& labels;
    const Counter* counter;      ///< Either this
    const Histogram* histogram;  ///< or that.
  };
  struct Family {
    const std::string& name;
    const std::string& help;
    std::vector<Series> series;
  };
  /// Valid as long as the registry.
  std::vector<Family> families() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace v0
}  // namespace weft
