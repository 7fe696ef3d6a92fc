// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "otlp/span_view.h"

namespace weft::collector {

/// Inputs and outputs of a span's run, each a JSON object or empty. The first place that has any
/// wins (docs/spans-as-runs.md); what was used is marked. `span.run_type` must be set.
std::string RunInputsOf(SpanView& span);
std::string RunOutputsOf(SpanView& span);

}  // namespace weft::collector
