// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "otlp/span_view.h"

namespace weft::collector {

/// Append inputs and outputs of a span's run, each a JSON object or nothing. The first place that
/// has any wins (docs/spans-as-runs.md); what was used is marked. `span.run_type` must be set.
void AppendRunInputs(SpanView& span, std::string& out);
void AppendRunOutputs(SpanView& span, std::string& out);

}  // namespace weft::collector
