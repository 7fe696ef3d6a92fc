// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "otlp/span_tree.h"
#include "otlp/span_view.h"

namespace weft::collector {

/// Evaluations that stand in a span's attributes and events, as LangSmith's feedback: JSON objects.
/// Their ids are made from the run's, so that the same span gives the same feedback. What was used
/// is marked.
std::vector<std::string> FeedbackOf(SpanView& span, const RunPlace& place);

struct SpanAttachment {
  std::string name;
  std::string mime_type;
  std::string content;
};

/// `langsmith.attachments`: a JSON list of `{name, content, mime_type}`, the content as base64.
/// Nothing is taken from a list that is not of this form.
std::vector<SpanAttachment> AttachmentsOf(Attributes& attributes);

}  // namespace weft::collector
