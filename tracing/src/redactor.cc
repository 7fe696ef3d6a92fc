// SPDX-License-Identifier: Apache-2.0
#include "redactor.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "json_writer.h"
#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

// What this thread changed, so that RedactField knows whether there was anything.
thread_local std::uint64_t changes_here = 0;

re2::RE2::Options SetOptions() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  return options;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Redactor>> Redactor::Create(RedactionOptions options) {
  std::vector<CompiledRule> rules;
  for (const RedactionPreset preset : options.presets) AddPreset(preset, rules);
  for (std::size_t i = 0; i < options.rules.size(); ++i) {
    if (options.rules[i].action == RedactionAction::kHash && options.hash_key.empty()) {
      return absl::InvalidArgumentError("redaction.hash_key: \"\" is empty, and a rule needs it");
    }
    auto rule = CompileRule(options.rules[i], i);
    if (!rule.ok()) return rule.status();
    rules.push_back(*std::move(rule));
  }
  return std::shared_ptr<const Redactor>(new Redactor(std::move(options), std::move(rules)));
}

Redactor::Redactor(RedactionOptions options, std::vector<CompiledRule> rules)
    : options_(std::move(options)),
      rules_(std::move(rules)),
      counts_(std::make_unique<std::atomic<std::uint64_t>[]>(rules_.size() + 1)),
      values_(SetOptions(), re2::RE2::UNANCHORED) {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    if (rules_[i].value == nullptr) continue;
    std::string problem;
    if (values_.Add(rules_[i].value->pattern(), &problem) >= 0) value_rules_.push_back(i);
  }
  if (!value_rules_.empty() && !values_.Compile()) every_value_ = true;
}

std::map<std::string, std::uint64_t> Redactor::Counts() const {
  std::map<std::string, std::uint64_t> counts;
  for (std::size_t i = 0; i < rules_.size(); ++i) counts[rules_[i].name] += counts_[i].load();
  counts["failed"] += counts_[rules_.size()].load();
  return counts;
}

void Redactor::Count(std::size_t rule) const noexcept {
  counts_[rule].fetch_add(1, std::memory_order_relaxed);
  ++changes_here;
}

void Redactor::Redact(RunRecord& record) const noexcept try { RedactRecord(record); } catch (...) {
  Count(rules_.size());
  MaskAll(record);
}

// What was not looked at must not leave.
void Redactor::MaskAll(RunRecord& record) const noexcept try {
  record.inputs.clear();
  record.outputs.reset();
  record.events.clear();
  record.attachments.clear();
  record.tags.clear();
  record.metadata.clear();
  record.attributes.clear();
  record.environment = nullptr;
  if (record.error) record.error = options_.marker;
  record.name = record.DisplayName();
  record.kind = nullptr;
  auto baggage = std::make_shared<TraceBaggage>();
  baggage->project = record.context.baggage().project;
  baggage->address = record.context.baggage().address;
  record.context = record.context.WithBaggage(std::move(baggage));
} catch (...) {
  record.context = {};
}

void Redactor::RedactRecord(RunRecord& record) const {
  RedactObject("inputs", record.inputs);
  if (record.outputs) RedactObject("outputs", *record.outputs);
  if (record.error && RedactText({{"error"}}, *record.error) == Fate::kDropped) {
    record.error = options_.marker;  // the run stays a failed one
  }
  for (RunEvent& event : record.events) {
    RedactText({{"events"}, {"name"}}, event.name);
    RedactObject("events", event.kwargs);
  }
  for (RunAttachment& attachment : record.attachments) {
    if (RedactText({{"attachments"}, {}}, attachment.name) == Fate::kDropped) {
      attachment.name = options_.marker;
    }
    std::replace(attachment.name.begin(), attachment.name.end(), '.', '_');
  }
  RedactTexts("tags", record.tags);
  // Metadata and tags are also said by what many runs share: this record says all by itself.
  JsonObject metadata = record.AllMetadata();
  RedactObject("metadata", metadata);
  record.name = record.DisplayName();
  record.kind = nullptr;
  record.environment = nullptr;
  record.attributes.clear();
  record.metadata = std::move(metadata);
  const TraceBaggage& shared = record.context.baggage();
  if (shared.metadata.empty() && shared.tags.empty()) return;
  auto own = std::make_shared<TraceBaggage>(shared);
  own->metadata.clear();
  own->own_tags = 0;
  RedactTexts("tags", own->tags);
  record.context = record.context.WithBaggage(std::move(own));
}

void Redactor::RedactMetadata(JsonObject& metadata) const noexcept {
  RedactObject("metadata", metadata);
}

void Redactor::RedactTags(std::vector<std::string>& tags) const noexcept {
  RedactTexts("tags", tags);
}

JsonRedactor::Outcome Redactor::RedactField(std::string_view field, Json& value) const noexcept {
  using Outcome = JsonRedactor::Outcome;
  const std::uint64_t before = changes_here;
  try {
    Path path = {{field}};
    if (RedactValue(value, path) == Fate::kDropped) return Outcome::kDropped;
    return changes_here == before && !options_.function ? Outcome::kUnchanged : Outcome::kChanged;
  } catch (...) {
    Count(rules_.size());
  }
  try {
    value = options_.marker;
    return Outcome::kChanged;
  } catch (...) {
    return Outcome::kDropped;
  }
}

void Redactor::RedactObject(std::string_view field, JsonObject& object) const noexcept try {
  if (object.empty()) return;
  Path path = {{field}};
  Json value(std::move(object), object.storage());
  const Fate fate = RedactValue(value, path);
  if (fate == Fate::kDropped) {
    object = JsonObject();
  } else if (JsonObject* const kept = value.if_object()) {
    object = std::move(*kept);
  } else {
    object = JsonObject{{"weft_redacted", std::move(value)}};
  }
} catch (...) {
  Count(rules_.size());
  object = JsonObject{{"weft_redacted", options_.marker}};
}

Redactor::Fate Redactor::RedactText(Path path, std::string& text) const noexcept try {
  Json value(boost::json::string_view(text.data(), text.size()));
  if (RedactValue(value, path) == Fate::kDropped) return Fate::kDropped;
  const auto* const kept = value.if_string();
  text = kept != nullptr ? std::string(kept->data(), kept->size()) : options_.marker;
  return Fate::kKept;
} catch (...) {
  Count(rules_.size());
  text = options_.marker;
  return Fate::kKept;
}

void Redactor::RedactTexts(std::string_view field, std::vector<std::string>& texts) const noexcept {
  std::size_t index = 0;
  std::erase_if(texts, [&](std::string& text) {
    return RedactText({{field}, {{}, index++}}, text) == Fate::kDropped;
  });
}

Redactor::Fate Redactor::RedactValue(Json& value, Path& path) const {
  if (Walk(value, path) == Fate::kDropped) return Fate::kDropped;
  if (options_.function) options_.function(path.front().key, value);
  return Fate::kKept;
}

Redactor::Fate Redactor::Walk(Json& value, Path& path) const {
  // Deeper values are not sent.
  if (path.size() > static_cast<std::size_t>(kMaxJsonDepth) + 1) {
    value = nullptr;
    ++changes_here;
    return Fate::kKept;
  }
  if (ApplyWhole(value, path) == Fate::kDropped) return Fate::kDropped;
  if (JsonObject* const object = value.if_object()) {
    WalkMembers(*object, path);
  } else if (JsonArray* const array = value.if_array()) {
    WalkElements(*array, path);
  } else {
    return ApplyToText(value, path);
  }
  return Fate::kKept;
}

void Redactor::WalkMembers(JsonObject& object, Path& path) const {
  std::vector<std::string> dropped;
  std::vector<std::pair<std::string, std::string>> renamed;
  for (auto& member : object) {
    const std::string_view key(member.key().data(), member.key().size());
    path.push_back({key});
    const bool drops = Walk(member.value(), path) == Fate::kDropped;
    std::string name(key);
    bool changed = false;
    if (drops || Replace(name, path, changed) == Fate::kDropped) {
      dropped.emplace_back(key);
    } else if (changed) {
      renamed.emplace_back(key, std::move(name));
    }
    path.pop_back();
  }
  for (const std::string& key : dropped) object.erase(key);
  for (auto& [from, to] : renamed) {
    Json value = std::move(object.at(from));
    object.erase(from);
    object.insert_or_assign(to, std::move(value));
  }
}

void Redactor::WalkElements(JsonArray& array, Path& path) const {
  std::size_t index = 0;
  for (auto it = array.begin(); it != array.end(); ++index) {
    path.push_back({{}, index});
    const bool drops = Walk(*it, path) == Fate::kDropped;
    path.pop_back();
    it = drops ? array.erase(it) : it + 1;
  }
}

Redactor::Fate Redactor::ApplyWhole(Json& value, const Path& path) const {
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const CompiledRule& rule = rules_[i];
    if (rule.value != nullptr || value.is_null() || !IsAt(rule, path)) continue;
    if (rule.action == RedactionAction::kTruncate && !value.is_string()) continue;
    Count(i);
    if (rule.action == RedactionAction::kDrop) return Fate::kDropped;
    std::string text;
    if (const auto* const string = value.if_string()) {
      text.assign(string->data(), string->size());
    } else {
      AppendJson(text, value);
    }
    value = Json(Replacement(rule, text));
  }
  return Fate::kKept;
}

Redactor::Fate Redactor::ApplyToText(Json& value, const Path& path) const {
  std::string text;
  if (const auto* const string = value.if_string()) {
    text.assign(string->data(), string->size());
  } else if (value.is_int64() || value.is_uint64()) {
    AppendJson(text, value);
  } else {
    return Fate::kKept;
  }
  bool changed = false;
  const Fate fate = Replace(text, path, changed);
  if (changed) value = Json(text);
  return fate;
}

Redactor::Fate Redactor::Replace(std::string& text, const Path& path, bool& changed) const {
  if (value_rules_.empty()) return Fate::kKept;
  // As it will be written: what is no UTF-8 ends no match.
  if (!IsValidUtf8(text)) text = ToValidUtf8(text);
  std::vector<int> found;
  re2::RE2::Set::ErrorInfo problem{};
  if (every_value_ ||
      (!values_.Match(Piece(text), &found, &problem) && problem.kind != re2::RE2::Set::kNoError)) {
    found.resize(value_rules_.size());
    for (std::size_t i = 0; i < found.size(); ++i) found[i] = static_cast<int>(i);
  }
  std::sort(found.begin(), found.end());
  for (const int each : found) {
    const std::size_t index = value_rules_[static_cast<std::size_t>(each)];
    const CompiledRule& rule = rules_[index];
    if (!IsAt(rule, path) || !ReplaceIn(rule, text)) continue;
    Count(index);
    if (rule.action == RedactionAction::kDrop) return Fate::kDropped;
    changed = true;
  }
  return Fate::kKept;
}

// Whether there is something; what there is, is replaced.
bool Redactor::ReplaceIn(const CompiledRule& rule, std::string& text) const {
  std::string result;
  std::size_t copied = 0;
  bool found = false;
  re2::StringPiece match;
  for (std::size_t at = 0; at <= text.size();) {
    if (!rule.value->Match(Piece(text), at, text.size(), re2::RE2::UNANCHORED, &match, 1)) break;
    const auto start = static_cast<std::size_t>(match.data() - text.data());
    at = start + std::max<std::size_t>(match.size(), 1);
    const std::string_view matched(match.data(), match.size());
    if (matched.empty() || (rule.is_found != nullptr && !rule.is_found(matched))) continue;
    found = true;
    result.append(text, copied, start - copied).append(Replacement(rule, matched));
    copied = start + matched.size();
  }
  if (!found) return false;
  text = std::move(result.append(text, copied));
  return true;
}

std::string Redactor::Replacement(const CompiledRule& rule, std::string_view found) const {
  switch (rule.action) {
    case RedactionAction::kHash:
      return Hash(found);
    case RedactionAction::kTruncate: {
      if (found.size() <= rule.length) return std::string(found);
      std::size_t end = rule.length;
      while (end > 0 && (static_cast<unsigned char>(found[end]) & 0xC0) == 0x80) --end;
      return std::string(found.substr(0, end));
    }
    case RedactionAction::kMask:
    case RedactionAction::kDrop:
      break;
  }
  return options_.marker;
}

std::string Redactor::Hash(std::string_view text) const {
  constexpr std::size_t kShown = 16;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  HMAC(EVP_sha256(), options_.hash_key.data(), static_cast<int>(options_.hash_key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), nullptr);
  std::string shown = "hmac:";
  for (std::size_t i = 0; i < kShown; ++i) {
    absl::StrAppend(&shown, absl::Hex(digest[i], absl::kZeroPad2));
  }
  return shown;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
