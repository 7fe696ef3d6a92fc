// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/metrics_text.h>

#include <array>
#include <charconv>
#include <cmath>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

void AppendEscaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || (c == '"' && quotes)) out += '\\';
    out += c;
  }
}

}  // namespace

std::string MetricsText::Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

void MetricsText::AppendLabel(std::string& labels, std::string_view name, std::string_view value) {
  if (!labels.empty()) labels += ',';
  (labels += name) += "=\"";
  AppendEscaped(labels, value, /*quotes=*/true);
  labels += '"';
}

void MetricsText::Family(std::string_view name, std::string_view type, std::string_view help) {
  family_ = name;
  // OpenMetrics names a counter's family without the suffix of its sample.
  constexpr std::string_view kTotal = "_total";
  if (format_ == Format::kOpenMetrics && type == "counter" && name.ends_with(kTotal)) {
    name.remove_suffix(kTotal.size());
  }
  ((text_ += "# HELP ") += name) += ' ';
  AppendEscaped(text_, help, /*quotes=*/format_ == Format::kOpenMetrics);
  ((((text_ += "\n# TYPE ") += name) += ' ') += type) += '\n';
}

void MetricsText::Sample(std::string_view suffix, std::string_view labels, double value,
                         std::string_view exemplar) {
  (text_ += family_) += suffix;
  if (!labels.empty()) ((text_ += '{') += labels) += '}';
  (text_ += ' ') += Number(value);
  if (format_ == Format::kOpenMetrics && !exemplar.empty()) (text_ += " # ") += exemplar;
  text_ += '\n';
}

std::string MetricsText::Take() {
  if (format_ == Format::kOpenMetrics) text_ += "# EOF\n";
  return std::move(text_);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
