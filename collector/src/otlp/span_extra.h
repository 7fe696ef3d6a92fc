// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <weft/collector/prices.h>

#include "otlp/span_view.h"

namespace weft::collector {

/// What of a span goes to `extra`, and what models used (docs/spans-as-runs.md). What
/// was used is marked.

/// Parameters of a model or tool call: a JSON object or empty.
std::string InvocationParamsOf(Attributes& attributes);

/// Token counts and costs in LangSmith's form.
struct SpanUsage {
  std::string json;            ///< An object or empty.
  bool cost_computed = false;  ///< By `prices`, because the span tells none.
};
SpanUsage UsageOf(Attributes& attributes, const Prices* prices);

struct MetadataOptions {
  std::string invocation_params{};  ///< JSON; empty = none.
  std::string usage{};              ///< JSON; empty = none.
  bool clock_fixed = false;
  bool cost_computed = false;
  bool other_attributes = true;  ///< See SpanToRunOptions.
  std::size_t max_other_bytes = 0;
};

/// The names under which spans tell their model, the best first.
inline constexpr std::string_view kModelKeys[] = {"gen_ai.request.model", "gen_ai.response.model",
                                                  "model", "llm.model_name", "ai.model.id"};

/// Appends `extra.metadata`, a JSON object. Call last: what is not marked by then counts as other
/// attributes.
void WriteMetadata(SpanView& span, const MetadataOptions& options, std::string& out);

}  // namespace weft::collector
