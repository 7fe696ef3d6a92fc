// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_to_run.h"

#include <algorithm>
#include <array>
#include <utility>

#include "langsmith/run_facts.h"
#include "otlp/json_text.h"
#include "otlp/json_values.h"
#include "otlp/span_extra.h"
#include "otlp/span_feedback.h"
#include "otlp/span_type.h"
#include "otlp/span_values.h"
#include "otlp/span_view.h"
#include "utc_time.h"

namespace weft::collector {
namespace {

void AddTime(std::string_view key, std::uint64_t unix_ns, JsonObjectWriter& out) {
  const auto text = IsoTimeText(static_cast<std::int64_t>(unix_ns / 1000));
  out.AddText(key, {text.data(), text.size()});
}

void AddId(std::string_view key, const RunId& id, JsonObjectWriter& out) {
  std::array<char, RunId::kTextSize> text;
  id.Write(text.data());
  out.AddText(key, {text.data(), text.size()});
}

bool IsNewToken(std::string_view name) {
  return name == "gen_ai.first_token" || name.ends_with("new_token");
}

// One run, put together in the order in which places take attributes from each other.
class RunWriter {
 public:
  RunWriter(const RunOp& op, const RunPlace& place, SpanView& span, const SpanToRunOptions& options,
            std::vector<RunOp>& ops, std::string& text)
      : op_(op), place_(place), span_(span), options_(options), ops_(ops), text_(text) {
    span_.run_type = RunTypeOf(span_.attributes);
    RunOp& run = ops_.emplace_back();
    run.run_id = place_.run_id;
    run.trace_id = place_.trace_id;
    run.is_root = place_.parent_run_id.IsNil();
    run.has_error = op_.has_error;
    run.project = op_.project;
  }

  void Write() {
    WriteRun();
    const SpanUsage usage = UsageOf(span_.attributes, options_.prices);
    WriteInputs();
    WriteOutputs(usage.json);
    for (SpanAttachment& attachment : AttachmentsOf(span_.attributes)) {
      Append(PartField::kAttachment, attachment.content);
      Part& part = ops_.back().parts.back();
      part.name = std::move(attachment.name);
      part.mime_type = std::move(attachment.mime_type);
    }
    const std::vector<std::string> feedback = FeedbackOf(span_, place_);
    Append(PartField::kEvents, Events());
    WriteExtra(usage);
    for (const std::string& text : feedback) AppendFeedback(text);
  }

 private:
  // Nothing for an empty text, but for attachments.
  void Append(PartField field, std::string_view text) {
    if (text.empty() && field != PartField::kAttachment) return;
    const std::size_t begin = text_.size();
    text_ += text;
    AddPart(field, begin);
  }

  // Of what was written since `begin`.
  void AddPart(PartField field, std::size_t begin) {
    Part& part = ops_.back().parts.emplace_back();
    part.field = field;
    part.offset = begin;
    part.length = text_.size() - begin;
  }

  void AppendFeedback(const std::string& text) {
    RunOp& op = ops_.emplace_back();
    op.kind = OpKind::kFeedback;
    op.run_id = place_.run_id;
    op.trace_id = place_.trace_id;
    Append(PartField::kFeedback, text);
  }

  std::uint64_t Start() const {
    return span_.ids.start_unix_ns != 0 ? span_.ids.start_unix_ns : span_.ids.end_unix_ns;
  }

  void WriteRun() {
    const std::size_t begin = text_.size();
    JsonObjectWriter run(text_);
    AddId("id", place_.run_id, run);
    AddId("trace_id", place_.trace_id, run);
    if (!place_.parent_run_id.IsNil()) AddId("parent_run_id", place_.parent_run_id, run);
    if (!place_.dotted_order.empty()) run.AddText("dotted_order", place_.dotted_order);
    run.AddText("name", RunNameOf(span_));
    run.AddText("run_type", span_.run_type);
    AddTime("start_time", Start(), run);
    if (const std::uint64_t end = span_.ids.end_unix_ns; end != 0) {
      AddTime("end_time", std::max(Start(), end), run);
    }
    if (!op_.project.empty()) run.AddText("session_name", op_.project);
    AddText("session_id", {"langsmith.trace.session_id", "ai.telemetry.metadata.ls_project_id"},
            run);
    AddText("reference_example_id", {"langsmith.reference_example_id"}, run);
    if (const std::string error = RunErrorOf(span_); !error.empty()) run.AddText("error", error);
    std::string tags;
    for (const std::string& tag : RunTagsOf(span_)) {
      tags += tags.empty() ? "[" : ",";
      AppendJsonString(tags, tag);
    }
    if (!tags.empty()) run.Add("tags", tags + "]");
    span_.attributes.MarkUsed("ai.operationId");
    run.Close();
    AddPart(PartField::kRun, begin);
  }

  void AddText(std::string_view member, std::initializer_list<std::string_view> keys,
               JsonObjectWriter& run) {
    for (const std::string_view key : keys) {
      const std::string_view text = span_.attributes.TakeText(key);
      if (!text.empty()) return run.AddText(member, text);
    }
  }

  void WriteInputs() {
    const std::size_t begin = text_.size();
    AppendRunInputs(span_, text_);
    if (text_.size() > begin) AddPart(PartField::kInputs, begin);
  }

  void WriteOutputs(const std::string& usage) {
    const std::size_t begin = text_.size();
    AppendRunOutputs(span_, text_);
    if (text_.size() == begin) return;
    // A span that was a run has the outputs that the run had.
    if (!usage.empty() && !span_.ids.names_run_id) AddUsage(usage, begin);
    AddPart(PartField::kOutputs, begin);
  }

  void AddUsage(const std::string& usage, std::size_t begin) {
    const std::string outputs = text_.substr(begin);
    if (outputs.find("\"usage_metadata\"") != std::string::npos) return;
    text_.resize(begin);
    text_ += WithMembers(outputs, {{"usage_metadata", usage}});
  }

  std::string Events() {
    std::string list;
    for (SpanEvent& event : span_.events) {
      if (event.used) continue;
      JsonObjectWriter object;
      object.AddText("name", IsNewToken(event.name) ? "new_token" : event.name);
      AddTime("time", event.time_unix_ns, object);
      JsonObjectWriter kwargs;
      for (const Attributes::Entry& entry : event.attributes.all()) {
        kwargs.Add(entry.key, AttributeValue::Read(entry.value).Json());
      }
      if (!kwargs.empty()) object.Add("kwargs", kwargs.Take());
      (list += list.empty() ? "[" : ",") += object.Take();
    }
    return list.empty() ? "" : list + "]";
  }

  void WriteExtra(const SpanUsage& usage) {
    const std::size_t begin = text_.size();
    JsonObjectWriter extra(text_);
    MetadataOptions metadata;
    metadata.invocation_params = InvocationParamsOf(span_.attributes);
    metadata.usage = usage.json;
    metadata.cost_computed = usage.cost_computed;
    metadata.clock_fixed =
        place_.clock_fixed || (span_.ids.end_unix_ns != 0 && span_.ids.end_unix_ns < Start());
    metadata.other_attributes = options_.other_attributes;
    metadata.max_other_bytes = options_.max_other_bytes;
    if (!metadata.invocation_params.empty()) {
      extra.Add("invocation_params", metadata.invocation_params);
    }
    AddRuntime(extra);
    WriteMetadata(span_, metadata, extra.Key("metadata"));
    extra.Close();
    AddPart(PartField::kExtra, begin);
  }

  void AddRuntime(JsonObjectWriter& extra) {
    constexpr std::string_view kKey = "langsmith.span.runtime";
    if (!span_.attributes.Has(kKey)) return;
    const std::string runtime = JsonOf(span_.attributes.Value(kKey));
    if (!IsJsonObject(runtime)) return;
    span_.attributes.MarkUsed(kKey);
    extra.Add("runtime", runtime);
  }

  const RunOp& op_;
  const RunPlace& place_;
  SpanView& span_;
  const SpanToRunOptions& options_;
  std::vector<RunOp>& ops_;  ///< The last one is being written.
  std::string& text_;
};

}  // namespace

SpanRun SpanToRun(const RunOp& op, std::string_view payload, const RunPlace& place,
                  const SpanToRunOptions& options) {
  SpanRun run;
  const SpanIds ids = ReadSpanIds(SlicesOf(op, payload).span);
  AppendRun(op, payload, ids, place, &run.ops, &run.payload, options);
  return run;
}

void AppendRun(const RunOp& op, std::string_view payload, const SpanIds& ids, const RunPlace& place,
               std::vector<RunOp>* ops, std::string* text, const SpanToRunOptions& options) {
  SpanView span(SlicesOf(op, payload), ids);
  RunWriter(op, place, span, options, *ops, *text).Write();
}

}  // namespace weft::collector
