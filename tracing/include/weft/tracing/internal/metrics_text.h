// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {

/// Writes Prometheus' text format or OpenMetrics; the one place that knows how they are spelled.
///
///     MetricsText out(MetricsText::Format::kPrometheus);
///     out.Family("jobs_total", "counter", "Jobs done.");
///     out.Sample("", labels, 3);
class MetricsText {
 public:
  enum class Format : std::uint8_t { kPrometheus, kOpenMetrics };

  explicit MetricsText(Format format = Format::kPrometheus) noexcept : format_(format) {}

  /// Starts a family; the samples that follow belong to it. `name` is that of its samples: of a
  /// counter with `_total`.
  void Family(std::string_view name, std::string_view type, std::string_view help);

  /// `suffix` is appended to the family's name: `_bucket`, `_sum`, `_count` or nothing. `labels`
  /// comes from AppendLabel. `exemplar` is what follows ` # ` in OpenMetrics; empty for none.
  void Sample(std::string_view suffix, std::string_view labels, double value,
              std::string_view exemplar = {});

  /// Adds `name="value"` to a list of labels.
  static void AppendLabel(std::string& labels, std::string_view name, std::string_view value);
  /// The shortest text that reads back as `value`.
  static std::string Number(double value);

  /// Everything so far, with the end mark that OpenMetrics asks for.
  std::string Take();

 private:
  Format format_;
  std::string family_;
  std::string text_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
