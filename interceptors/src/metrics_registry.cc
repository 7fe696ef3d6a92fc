// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/metrics_registry.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>

#include <weft/tracing/internal/metrics_text.h>

namespace weft {
inline namespace v0 {
namespace {

using internal::MetricsText;

constexpr bool IsLetter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool IsName(std::string_view name) noexcept {
  return !name.empty() && IsLetter(name.front()) &&
         std::ranges::all_of(name, [](char c) { return IsLetter(c) || (c >= '0' && c <= '9'); });
}

absl::Status CheckNames(std::string_view family, const MetricLabels& labels) {
  if (!IsName(family)) {
    return absl::InvalidArgumentError("'" + std::string(family) + "' is no name of a metric");
  }
  for (const auto& [name, value] : labels) {
    if (!IsName(name) || name.starts_with("__") || name == "le") {
      return absl::InvalidArgumentError("metric " + std::string(family) + ": '" + name +
                                        "' is no name of a label");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckBounds(std::string_view family, std::span<const double> bounds) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1])) {
      return absl::InvalidArgumentError("histogram " + std::string(family) + ": bound " +
                                        MetricsText::Number(bounds[i]) +
                                        " is not above the one before, or not finite");
    }
  }
  return absl::OkStatus();
}

// OpenMetrics wants bounds to look like floating point.
std::string BoundText(double bound, MetricsText::Format format) {
  std::string text = MetricsText::Number(bound);
  if (format == MetricsText::Format::kOpenMetrics &&
      text.find_first_of(".eIN") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string ExemplarText(const Histogram::Exemplar& exemplar) {
  if (exemplar.trace.IsNil()) return {};
  // As `traceparent` has it, so that it is found by the same text everywhere.
  std::string id = exemplar.trace.ToString();
  std::erase(id, '-');
  const double seconds = std::chrono::duration<double>(exemplar.time.time_since_epoch()).count();
  return "{trace_id=\"" + id + "\"} " + MetricsText::Number(exemplar.value) + ' ' +
         MetricsText::Number(std::round(seconds * 1e3) / 1e3);
}

void WriteHistogram(const Histogram& histogram, const std::string& labels,
                    MetricsText::Format format, MetricsText& out) {
  std::uint64_t total = 0;
  for (const Histogram::Bucket& bucket : histogram.buckets()) {
    total += bucket.count;
    std::string with_bound = labels;
    MetricsText::AppendLabel(with_bound, "le", BoundText(bucket.upper_bound, format));
    out.Sample("_bucket", with_bound, static_cast<double>(total), ExemplarText(bucket.exemplar));
  }
  out.Sample("_sum", labels, histogram.sum());
  out.Sample("_count", labels, static_cast<double>(total));
}

std::string Render(const MetricsRegistry& registry, MetricsText::Format format) {
  MetricsText out(format);
  for (const MetricsRegistry::Family& family : registry.families()) {
    const bool counts = family.series.front().counter != nullptr;
    out.Family(family.name, counts ? "counter" : "histogram", family.help);
    for (const MetricsRegistry::Series& series : family.series) {
      std::string labels;
      for (const auto& [name, value] : series.labels) MetricsText::AppendLabel(labels, name, value);
      if (counts) {
        out.Sample("", labels, static_cast<double>(series.counter->value()));
      } else {
        WriteHistogram(*series.histogram, labels, format, out);
      }
    }
  }
  return out.Take();
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds.begin(), bounds.end()), cells_(std::make_unique<Cell[]>(bounds.size() + 1)) {}

Histogram::Cell& Histogram::Count(double value) noexcept {
  std::size_t bucket = 0;
  while (bucket < bounds_.size() && value > bounds_[bucket]) ++bucket;
  Cell& cell = cells_[bucket];
  cell.count.fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
  return cell;
}

void Histogram::Remember(Cell& cell, double value, const RunId& trace,
                         std::chrono::system_clock::time_point time) noexcept {
  std::uint32_t version = cell.version.load(std::memory_order_relaxed);
  if (version % 2 != 0 ||
      !cell.version.compare_exchange_strong(version, version + 1, std::memory_order_acquire)) {
    return;
  }
  std::array<std::uint64_t, 2> words;
  std::memcpy(words.data(), trace.bytes.data(), sizeof(words));
  cell.trace[0].store(words[0], std::memory_order_release);
  cell.trace[1].store(words[1], std::memory_order_release);
  cell.value.store(value, std::memory_order_release);
  cell.time.store(time.time_since_epoch().count(), std::memory_order_release);
  cell.version.store(version + 2, std::memory_order_release);
}

Histogram::Exemplar Histogram::Read(const Cell& cell) noexcept {
  constexpr int kTries = 8;
  for (int i = 0; i < kTries; ++i) {
    const std::uint32_t version = cell.version.load(std::memory_order_acquire);
    if (version == 0) break;
    const std::array<std::uint64_t, 2> words = {cell.trace[0].load(std::memory_order_acquire),
                                                cell.trace[1].load(std::memory_order_acquire)};
    const double value = cell.value.load(std::memory_order_acquire);
    const std::int64_t time = cell.time.load(std::memory_order_acquire);
    if (version % 2 != 0 || cell.version.load(std::memory_order_relaxed) != version) continue;
    using Clock = std::chrono::system_clock;
    Exemplar exemplar{
        .trace = {}, .value = value, .time = Clock::time_point(Clock::duration(time))};
    std::memcpy(exemplar.trace.bytes.data(), words.data(), sizeof(words));
    return exemplar;
  }
  return {};
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> buckets;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) {
    buckets.push_back(
        {.upper_bound = i < bounds_.size() ? bounds_[i] : std::numeric_limits<double>::infinity(),
         .count = cells_[i].count.load(std::memory_order_relaxed),
         .exemplar = Read(cells_[i])});
  }
  return buckets;
}

struct MetricsRegistry::State {
  struct OneSeries {
    MetricLabels labels;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Histogram> histogram;
  };
  struct OneFamily {
    std::string name;
    std::string help;
    bool counts;
    std::vector<double> bounds;
    std::vector<std::unique_ptr<OneSeries>> series;
    std::map<MetricLabels, OneSeries*> by_labels;
  };

  // Null: there is such a family, and it is not the same.
  OneFamily* GetFamily(std::string_view name, std::string_view help, bool counts,
                       std::span<const double> bounds) {
    const auto found = by_name.find(name);
    if (found != by_name.end()) {
      OneFamily* family = found->second;
      return family->counts == counts && std::ranges::equal(family->bounds, bounds) ? family
                                                                                    : nullptr;
    }
    families.push_back(std::make_unique<OneFamily>(OneFamily{
        std::string(name), std::string(help), counts, {bounds.begin(), bounds.end()}, {}, {}}));
    by_name.emplace(name, families.back().get());
    return families.back().get();
  }

  absl::StatusOr<OneSeries*> GetSeries(std::string_view name, std::string_view help,
                                       const MetricLabels& labels, bool counts,
                                       std::span<const double> bounds) {
    const std::lock_guard lock(mutex);
    OneFamily* family = GetFamily(name, help, counts, bounds);
    if (family == nullptr) {
      return absl::AlreadyExistsError("metric " + std::string(name) +
                                      " is there with another type or other bounds");
    }
    const auto found = family->by_labels.find(labels);
    if (found != family->by_labels.end()) return found->second;
    auto series = std::make_unique<OneSeries>();
    series->labels = labels;
    if (counts) {
      series->counter = std::make_unique<Counter>();
    } else {
      series->histogram = std::make_unique<Histogram>(bounds);
    }
    family->by_labels.emplace(labels, series.get());
    family->series.push_back(std::move(series));
    return family->series.back().get();
  }

  mutable std::mutex mutex;
  std::vector<std::unique_ptr<OneFamily>> families;
  std::map<std::string, OneFamily*, std::less<>> by_name;
};

MetricsRegistry::MetricsRegistry() : state_(std::make_unique<State>()) {}
MetricsRegistry::~MetricsRegistry() = default;

absl::StatusOr<Counter*> MetricsRegistry::GetCounter(std::string_view family, std::string_view help,
                                                     const MetricLabels& labels) {
  if (absl::Status status = CheckNames(family, labels); !status.ok()) return status;
  if (!family.ends_with("_total")) {
    return absl::InvalidArgumentError("counter " + std::string(family) + " does not end in _total");
  }
  auto series = state_->GetSeries(family, help, labels, /*counts=*/true, {});
  if (!series.ok()) return series.status();
  return (*series)->counter.get();
}

absl::StatusOr<Histogram*> MetricsRegistry::GetHistogram(std::string_view family,
                                                         std::string_view help,
                                                         const MetricLabels& labels,
                                                         std::span<const double> bounds) {
  if (absl::Status status = CheckNames(family, labels); !status.ok()) return status;
  if (absl::Status status = CheckBounds(family, bounds); !status.ok()) return status;
  auto series = state_->GetSeries(family, help, labels, /*counts=*/false, bounds);
  if (!series.ok()) return series.status();
  return (*series)->histogram.get();
}

std::vector<MetricsRegistry::Family> MetricsRegistry::families() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<Family> families;
  for (const auto& family : state_->families) {
    families.push_back({.name = family->name, .help = family->help, .series = {}});
    for (const auto& series : family->series) {
      families.back().series.push_back({.labels = series->labels,
                                        .counter = series->counter.get(),
                                        .histogram = series->histogram.get()});
    }
  }
  return families;
}

std::string MetricsRegistry::Prometheus() const {
  return Render(*this, MetricsText::Format::kPrometheus);
}
std::string MetricsRegistry::OpenMetrics() const {
  return Render(*this, MetricsText::Format::kOpenMetrics);
}

}  // namespace v0
}  // namespace weft
