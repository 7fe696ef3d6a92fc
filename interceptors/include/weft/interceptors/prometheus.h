// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <weft/interceptors/metrics_registry.h>

namespace weft {
inline namespace v0 {

/// The metrics of a MetricsRegistry for a program that has prometheus-cpp (Debian:
/// `prometheus-cpp-dev`), so that its exposer or gateway serves them with its own.
///
///     auto metrics = std::make_shared<weft::MetricsRegistry>();
///     auto collectable = std::make_shared<weft::PrometheusCollectable>(metrics);
///     exposer.RegisterCollectable(collectable);
///
/// This header is all there is of it: weft itself does not link to prometheus-cpp. Exemplars are
/// left out, which the library does not know.
///
/// Ownership: an exposer keeps a std::weak_ptr, so keep the collectable as long as it is to be
/// seen. Threads: any.
class PrometheusCollectable final : public prometheus::Collectable {
 public:
  explicit PrometheusCollectable(std::shared_ptr<const MetricsRegistry> registry) noexcept
      : registry_(std::move(registry)) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> families;
    for (const MetricsRegistry::Family& family : registry_->families()) {
      prometheus::MetricFamily& out = families.emplace_back();
      out.name = family.name;
      out.help = family.help;
      for (const MetricsRegistry::Series& series : family.series) {
        out.type = series.counter != nullptr ? prometheus::MetricType::Counter
                                             : prometheus::MetricType::Histogram;
        out.metric.push_back(Read(series));
      }
    }
    return families;
  }

 private:
  static prometheus::ClientMetric Read(const MetricsRegistry::Series& series) {
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : series.labels) metric.label.push_back({name, value});
    if (series.counter != nullptr) {
      metric.counter.value = static_cast<double>(series.counter->value());
      return metric;
    }
    prometheus::ClientMetric::Histogram& histogram = metric.histogram;
    for (const Histogram::Bucket& bucket : series.histogram->buckets()) {
      histogram.sample_count += bucket.count;
      histogram.bucket.push_back({histogram.sample_count, bucket.upper_bound});
    }
    histogram.sample_sum = series.histogram->sum();
    return metric;
  }

  const std::shared_ptr<const MetricsRegistry> registry_;
};

}  // namespace v0
}  // namespace weft
