// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_feedback.h"

#include <string_view>
#include <utility>

#include <absl/strings/escaping.h>
#include <boost/json.hpp>

#include <weft/collector/run_store.h>

#include "otlp/json_text.h"
#include "otlp/json_values.h"

namespace weft::collector {
namespace {

namespace json = boost::json;
using Type = AttributeValue::Type;

struct Names {
  std::string_view key, score, label, explanation;
};

constexpr Names kEvaluation = {"gen_ai.evaluation.name", "gen_ai.evaluation.score.value",
                               "gen_ai.evaluation.score.label", "gen_ai.evaluation.explanation"};

class FeedbackWriter {
 public:
  explicit FeedbackWriter(const RunPlace& place) : place_(place) {}

  /// False when the attributes hold none.
  bool Add(Attributes& attributes, const Names& names) {
    const std::string_view key = attributes.Text(names.key);
    if (key.empty()) return false;
    const std::string run = place_.run_id.ToString();
    JsonObjectWriter object;
    object.AddText("id", ProjectId("feedback " + run + " " + std::to_string(list_.size()) + " " +
                                   std::string(key))
                             .ToString());
    object.AddText("run_id", run);
    object.AddText("trace_id", place_.trace_id.ToString());
    object.AddText("key", key);
    attributes.MarkUsed(names.key);
    const std::pair<std::string_view, std::string_view> members[] = {
        {"score", names.score}, {"value", names.label}, {"comment", names.explanation}};
    for (const auto& [member, name] : members) {
      const AttributeValue value = attributes.Take(name);
      if (value.type != Type::kNone) object.Add(member, value.Json());
    }
    list_.push_back(object.Take());
    return true;
  }

  std::vector<std::string> Take() { return std::move(list_); }

 private:
  const RunPlace& place_;
  std::vector<std::string> list_;
};

std::string TextIn(const json::object& object, std::string_view key) {
  const json::value* const found = object.if_contains({key.data(), key.size()});
  if (found == nullptr || !found->is_string()) return "";
  return std::string(found->get_string());
}

}  // namespace

std::vector<std::string> FeedbackOf(SpanView& span, const RunPlace& place) {
  FeedbackWriter feedback(place);
  feedback.Add(span.attributes, kEvaluation);
  for (SpanEvent& event : span.events) event.used |= feedback.Add(event.attributes, kEvaluation);
  const bool annotated = !span.attributes.Under("annotations.").empty();
  for (std::size_t n = 0; annotated; ++n) {
    const std::string prefix = "annotations." + std::to_string(n) + ".annotation.";
    const std::string name = prefix + "name", score = prefix + "score", label = prefix + "label",
                      explanation = prefix + "explanation";
    if (!feedback.Add(span.attributes, {name, score, label, explanation})) break;
  }
  return feedback.Take();
}

std::vector<SpanAttachment> AttachmentsOf(Attributes& attributes) {
  constexpr std::string_view kKey = "langsmith.attachments";
  std::vector<SpanAttachment> attachments;
  if (!attributes.Has(kKey)) return attachments;
  json::error_code error;
  const json::value list = json::parse(JsonOf(attributes.Value(kKey)), error);
  if (error || !list.is_array()) return attachments;
  for (const json::value& value : list.get_array()) {
    const json::object* const object = value.if_object();
    if (object == nullptr) return {};
    SpanAttachment attachment{TextIn(*object, "name"), TextIn(*object, "mime_type"), ""};
    if (attachment.name.empty() ||
        !absl::Base64Unescape(TextIn(*object, "content"), &attachment.content)) {
      return {};
    }
    if (attachment.mime_type.empty()) attachment.mime_type = "application/octet-stream";
    attachments.push_back(std::move(attachment));
  }
  attributes.MarkUsed(kKey);
  return attachments;
}

}  // namespace weft::collector
