// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>
#include <re2/re2.h>
#include <re2/set.h>

#include <weft/tracing/internal/json_redactor.h>
#include <weft/tracing/json.h>
#include <weft/tracing/redaction.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// A rule of a preset or of the user.
struct CompiledRule {
  std::string name;
  std::vector<std::string> pointer;
  std::unique_ptr<const re2::RE2> key;
  std::unique_ptr<const re2::RE2> allow;
  std::unique_ptr<const re2::RE2> value;
  bool (*is_found)(std::string_view match) = nullptr;  // what an expression cannot say
  RedactionAction action = RedactionAction::kMask;
  std::size_t length = 0;
};

/// Errors: InvalidArgument names the rule by its index.
absl::StatusOr<CompiledRule> CompileRule(const RedactionRule& rule, std::size_t index);

/// Appends the rules of a preset.
void AddPreset(RedactionPreset preset, std::vector<CompiledRule>& rules);

/// RedactionOptions, ready to be applied.
///
/// Threads: any. Cost: one pass over each text for all expressions, another for those that match.
class Redactor {
 public:
  static absl::StatusOr<std::shared_ptr<const Redactor>> Create(RedactionOptions options);

  /// Redacts what is in the record, and what it refers to: that is taken into the record.
  void Redact(RunRecord& record) const noexcept;
  /// What is handed down to other runs.
  void RedactMetadata(JsonObject& metadata) const noexcept;
  void RedactTags(std::vector<std::string>& tags) const noexcept;

  /// A field of a run that is there as JSON.
  JsonRedactor::Outcome RedactField(std::string_view field, Json& value) const noexcept;

  /// How often each rule found something; `failed` is about what could not be redacted.
  std::map<std::string, std::uint64_t> Counts() const;

 private:
  // One step from a field to a value: a key, or an index.
  struct Step {
    std::string_view key;
    std::size_t index = 0;
  };
  using Path = std::vector<Step>;
  enum class Fate { kKept, kDropped };

  Redactor(RedactionOptions options, std::vector<CompiledRule> rules);

  void RedactRecord(RunRecord& record) const;
  void MaskAll(RunRecord& record) const noexcept;
  void RedactObject(std::string_view field, JsonObject& object) const noexcept;
  void RedactTexts(std::string_view field, std::vector<std::string>& texts) const noexcept;
  Fate RedactText(Path path, std::string& text) const noexcept;
  Fate RedactValue(Json& value, Path& path) const;

  Fate Walk(Json& value, Path& path) const;
  void WalkMembers(JsonObject& object, Path& path) const;
  void WalkElements(JsonArray& array, Path& path) const;
  Fate ApplyWhole(Json& value, const Path& path) const;
  Fate ApplyToText(Json& value, const Path& path) const;
  Fate Replace(std::string& text, const Path& path, bool& changed) const;
  bool ReplaceIn(const CompiledRule& rule, std::string& text) const;
  std::string Replacement(const CompiledRule& rule, std::string_view found) const;
  std::string Hash(std::string_view text) const;

  bool IsAt(const CompiledRule& rule, const Path& path) const;
  void Count(std::size_t rule) const noexcept;

  RedactionOptions options_;
  std::vector<CompiledRule> rules_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;  // of the rules, then of failures
  re2::RE2::Set values_;                                  // of the rules that have one
  std::vector<std::size_t> value_rules_;                  // which they are
  bool every_value_ = false;                              // the set cannot tell
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
