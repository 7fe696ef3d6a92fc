// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "otlp/span_view.h"

namespace weft::collector {

/// LangSmith's run type of a span (docs/spans-as-runs.md); a value that is not known
/// somewhere leaves the choice to the next place.
std::string_view RunTypeOf(Attributes& attributes);

/// `span.run_type` must be set.
std::string RunNameOf(SpanView& span);

/// What went wrong, for the field `error`; empty when nothing did. Marks the event it comes from.
std::string RunErrorOf(SpanView& span);

/// The tags, each once, in their order.
std::vector<std::string> RunTagsOf(SpanView& span);

}  // namespace weft::collector
