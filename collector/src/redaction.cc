// SPDX-License-Identifier: Apache-2.0
#include "redaction.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <boost/json.hpp>

#include "batch_payload.h"
#include "langsmith/json_scanner.h"
#include "otlp/trace_request.h"

namespace weft::collector {
namespace {

using Redactor = RedactionRules::Redactor;
using Outcome = Redactor::Outcome;

constexpr char kDefaultProject[] = "default";
// They say what a run is, not what it did; changed, the run would be another one.
constexpr std::array<std::string_view, 14> kIdentity = {
    "id",         "trace_id", "parent_run_id", "dotted_order",        "session_name",
    "session_id", "name",     "run_type",      "start_time",          "end_time",
    "status",     "run_id",   "score",         "reference_example_id"};

bool Applies(const ScopedRedactionRule& scoped, std::string_view tenant,
             std::optional<std::string_view> project) {
  const auto has = [](const std::vector<std::string>& list, std::string_view name) {
    return list.empty() || std::find(list.begin(), list.end(), name) != list.end();
  };
  return has(scoped.tenants, tenant) && (!project || has(scoped.projects, *project));
}

bool ApplyTo(const Redactor& redactor, std::string_view field, Json& value, const Json& marker,
             bool* dropped) {
  const Outcome outcome = redactor.Redact(field, value);
  if (outcome == Outcome::kDropped) *dropped = true;
  // A failed run stays one.
  if (outcome == Outcome::kDropped && field == "error") {
    value = marker;
    *dropped = false;
  }
  return outcome != Outcome::kUnchanged;
}

// `extra`: its metadata are a field of their own.
bool RedactExtra(const Redactor& redactor, Json& extra, const Json& marker) {
  JsonObject* const object = extra.if_object();
  bool dropped = false;
  bool changed = false;
  if (object == nullptr) {
    changed = ApplyTo(redactor, "extra", extra, marker, &dropped);
    if (dropped) extra = nullptr;
    return changed;
  }
  std::optional<Json> metadata;
  if (Json* const found = object->if_contains("metadata")) {
    metadata = std::move(*found);
    object->erase("metadata");
    changed = ApplyTo(redactor, "metadata", *metadata, marker, &dropped);
    if (std::exchange(dropped, false)) metadata.reset();
  }
  changed |= ApplyTo(redactor, "extra", extra, marker, &dropped);
  if (dropped) extra = JsonObject();
  JsonObject* const rest = extra.if_object();
  if (metadata && rest != nullptr) rest->insert_or_assign("metadata", *std::move(metadata));
  return changed;
}

bool RedactField(const Redactor& redactor, std::string_view field, Json& value, const Json& marker,
                 bool* dropped) {
  if (field == "extra") return RedactExtra(redactor, value, marker);
  return ApplyTo(redactor, field, value, marker, dropped);
}

// What becomes of a part.
struct Redacted {
  bool changed = false;
  bool dropped = false;
  std::string text{};  // where it was changed
};

Redacted RedactValue(const Redactor& redactor, std::string_view field, std::string_view text,
                     const Json& marker) {
  std::optional<Json> value = ParseJson(text);
  if (!value) return {.changed = true, .dropped = true};
  Redacted result;
  result.changed = RedactField(redactor, field, *value, marker, &result.dropped);
  if (result.changed && !result.dropped) result.text = boost::json::serialize(*value);
  return result;
}

// A run or feedback: its members are the fields. Those in which nothing is found keep their bytes.
Redacted RedactMembers(const Redactor& redactor, std::string_view text, const Json& marker) {
  Redacted result;
  result.text = "{";
  JsonScanner scanner(text);
  for (auto member = scanner.EnterObject() ? scanner.NextMember() : std::nullopt; member;
       member = scanner.NextMember()) {
    const std::string quoted = "\"" + std::string(member->key) + "\"";
    const std::string field = JsonStringValue(quoted).value_or("");
    std::string_view value = member->value;
    Redacted redacted;
    if (std::find(kIdentity.begin(), kIdentity.end(), field) == kIdentity.end()) {
      redacted = RedactValue(redactor, field, value, marker);
      result.changed |= redacted.changed;
      if (redacted.changed) value = redacted.text;
    }
    if (redacted.dropped) continue;
    if (result.text.size() > 1) result.text += ',';
    ((result.text += quoted) += ':') += value;
  }
  result.text += '}';
  result.dropped = !scanner.Finish();
  if (!result.changed) result.text.clear();
  return result;
}

Redacted RedactJson(const Redactor& redactor, PartField field, std::string_view text,
                    const Json& marker) {
  const bool is_whole = field == PartField::kRun || field == PartField::kFeedback;
  if (is_whole) return RedactMembers(redactor, text, marker);
  return RedactValue(redactor, PartFieldName(field), text, marker);
}

// Puts a payload together anew, of what the operations keep.
class PayloadEditor {
 public:
  PayloadEditor(RedactionRules& rules, std::string_view payload) : rules_(rules), in_(payload) {}

  /// False: the operation must not go to the log.
  bool Edit(RunOp& op, std::string_view tenant) {
    // Of a PATCH that names none nobody knows the project here, so it may be any.
    std::optional<std::string_view> project = op.project;
    if (op.project.empty()) project = kDefaultProject;
    if (op.project.empty() && op.kind != OpKind::kPost) project.reset();
    const Redactor* const redactor = rules_.For(tenant, project);
    for (Part& part : op.parts) {
      Redacted redacted = part.field == PartField::kAttachment ? EditAttachment(redactor, part)
                                                               : EditJson(redactor, part);
      if (redacted.dropped) {
        // Without these nothing says what the operation is about.
        if (part.field == PartField::kRun || part.field == PartField::kFeedback) return false;
        part.length = 0;
        part.offset = kGone;
        changed_ = true;
        continue;
      }
      changed_ |= redacted.changed;
      const std::string_view text =
          redacted.text.empty() ? in_.substr(part.offset, part.length) : redacted.text;
      part.offset = out_.size();
      part.length = text.size();
      out_ += text;
    }
    const auto is_gone = [](const Part& part) { return part.offset == kGone; };
    op.parts.erase(std::remove_if(op.parts.begin(), op.parts.end(), is_gone), op.parts.end());
    return true;
  }

  bool changed() const { return changed_; }
  std::uint64_t attachments_dropped() const { return attachments_dropped_; }
  std::string Take() { return std::move(out_); }

 private:
  static constexpr std::uint64_t kGone = ~std::uint64_t{0};

  Redacted EditJson(const Redactor* redactor, const Part& part) {
    if (redactor == nullptr) return {};
    return RedactJson(*redactor, part.field, in_.substr(part.offset, part.length), Marker());
  }

  Redacted EditAttachment(const Redactor* redactor, Part& part) {
    const auto& limit = rules_.config().max_attachment;
    if (limit && part.length > *limit) {
      ++attachments_dropped_;
      return {.dropped = true};
    }
    if (redactor == nullptr) return {};
    Json names = JsonArray{Json(part.name.str())};
    const Outcome outcome = redactor->Redact("attachments", names);
    if (outcome == Outcome::kUnchanged) return {};
    const JsonArray* const list = names.if_array();
    const bool kept = list != nullptr && !list->empty() && list->front().is_string();
    part.name = kept ? std::string(list->front().get_string()) : rules_.config().marker;
    return {.changed = true};
  }

  Json Marker() const { return Json(rules_.config().marker); }

  RedactionRules& rules_;
  const std::string_view in_;
  std::string out_;
  bool changed_ = false;
  std::uint64_t attachments_dropped_ = 0;
};

void RejectAll(IngestBatch& batch) {
  for (std::size_t i = 0; i < batch.header.ops.size(); ++i) {
    batch.rejected.push_back({i, "cannot be redacted", ""});
  }
  batch.header.ops.clear();
  SetPayload("", batch);
}

void RedactSpanBatch(IngestBatch& batch, std::string_view payload, RedactionRules& rules) {
  std::vector<std::string> projects;
  for (const RunOp& op : batch.header.ops) {
    projects.push_back(op.project.empty() ? kDefaultProject : op.project);
  }
  absl::StatusOr<std::string> redacted = RedactSpans(payload, batch.header.tenant, projects, rules);
  if (!redacted.ok()) return RejectAll(batch);
  if (redacted->empty()) return;
  const absl::StatusOr<DecodedSpans> spans = DecodeTraceRequest("", &*redacted);
  if (!spans.ok() || spans->ops.size() != projects.size()) return RejectAll(batch);
  const std::vector<RunOp> ops = std::exchange(batch.header.ops, std::move(spans->ops));
  for (std::size_t i = 0; i < ops.size(); ++i) batch.header.ops[i].project = ops[i].project;
  SetPayload(*std::move(redacted), batch);
}

std::uint64_t RedactRunBatch(IngestBatch& batch, std::string_view payload, RedactionRules& rules) {
  PayloadEditor editor(rules, payload);
  std::vector<RunOp> kept;
  const std::vector<RunOp> before = batch.header.ops;
  for (std::size_t i = 0; i < batch.header.ops.size(); ++i) {
    RunOp& op = batch.header.ops[i];
    if (editor.Edit(op, batch.header.tenant)) {
      kept.push_back(std::move(op));
    } else {
      batch.rejected.push_back({i, "cannot be redacted", ""});
    }
  }
  if (!editor.changed() && kept.size() == before.size()) {
    batch.header.ops = before;
  } else {
    batch.header.ops = std::move(kept);
    SetPayload(editor.Take(), batch);
  }
  return editor.attachments_dropped();
}

}  // namespace

absl::StatusOr<std::shared_ptr<RedactionRules>> RedactionRules::Create(RedactionConfig config) {
  std::shared_ptr<RedactionRules> rules(new RedactionRules(std::move(config)));
  RedactionOptions all;
  for (const ScopedRedactionRule& scoped : rules->config_.rules) all.rules.push_back(scoped.rule);
  all.hash_key = rules->config_.hash_key;
  const absl::Status status = Redactor::Create(std::move(all)).status();
  if (!status.ok()) return absl::FailedPreconditionError(status.message());
  return rules;
}

const Redactor* RedactionRules::For(std::string_view tenant,
                                    std::optional<std::string_view> project) {
  std::vector<bool> chosen;
  for (const ScopedRedactionRule& scoped : config_.rules) {
    chosen.push_back(Applies(scoped, tenant, project));
  }
  std::lock_guard lock(mutex_);
  const auto found = redactors_.find(chosen);
  if (found != redactors_.end()) return found->second.get();
  RedactionOptions options;
  options.presets = config_.presets;
  options.marker = config_.marker;
  options.hash_key = config_.hash_key;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i]) options.rules.push_back(config_.rules[i].rule);
  }
  std::shared_ptr<const Redactor> redactor;
  // All rules together were made before, so these can be.
  if (!options.empty()) redactor = Redactor::Create(std::move(options)).value();
  return redactors_.emplace(std::move(chosen), std::move(redactor)).first->second.get();
}

std::map<std::string, std::uint64_t> RedactionRules::Counts() const {
  std::map<std::string, std::uint64_t> counts;
  std::lock_guard lock(mutex_);
  for (const auto& [chosen, redactor] : redactors_) {
    if (redactor == nullptr) continue;
    for (const auto& [rule, found] : redactor->Counts()) counts[rule] += found;
  }
  return counts;
}

void Redaction::Set(std::shared_ptr<RedactionRules> rules) {
  std::lock_guard lock(mutex_);
  if (rules_) {
    for (const auto& [rule, found] : rules_->Counts()) before_[rule] += found;
  }
  rules_ = std::move(rules);
}

void Redaction::Redact(IngestBatch& batch) {
  std::shared_ptr<RedactionRules> rules;
  {
    std::lock_guard lock(mutex_);
    rules = rules_;
  }
  if (rules == nullptr || rules->empty()) return;
  // They were not understood, so nobody knows what is in them.
  for (RejectedOp& rejected : batch.rejected) {
    if (!rejected.bytes.empty()) rejected.bytes = rules->config().marker;
  }
  if (batch.header.ops.empty()) return;
  const absl::StatusOr<std::string> decoded = DecodedPayload(batch);
  if (!decoded.ok()) return RejectAll(batch);
  if (batch.header.receiver == Receiver::kOtlp) return RedactSpanBatch(batch, *decoded, *rules);
  const std::uint64_t dropped = RedactRunBatch(batch, *decoded, *rules);
  if (dropped == 0) return;
  std::lock_guard lock(mutex_);
  attachments_["attachments"] += dropped;
}

std::map<std::string, std::uint64_t> Redaction::Counts() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, std::uint64_t> counts = before_;
  for (const auto& [rule, found] : attachments_) counts[rule] += found;
  if (rules_ == nullptr) return counts;
  for (const auto& [rule, found] : rules_->Counts()) counts[rule] += found;
  return counts;
}

}  // namespace weft::collector
