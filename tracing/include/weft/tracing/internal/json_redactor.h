// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <weft/tracing/json.h>
#include <weft/tracing/redaction.h>

namespace weft {
inline namespace v0 {
namespace internal {

class Redactor;

/// Redacts fields of runs that are there as JSON.
///
///     auto redactor = JsonRedactor::Create({.presets = {RedactionPreset::kEmail}});
///     (*redactor)->Redact("inputs", inputs);
///
/// Threads: any.
class JsonRedactor {
 public:
  enum class Outcome : std::uint8_t { kUnchanged, kChanged, kDropped };

  /// Errors: InvalidArgument names the rule by its index.
  static absl::StatusOr<std::shared_ptr<const JsonRedactor>> Create(RedactionOptions options);

  /// `field`: the first step of the pointers of rules. What cannot be redacted becomes the marker.
  Outcome Redact(std::string_view field, Json& value) const noexcept;

  /// How often each rule found something; `failed` is about what could not be redacted.
  std::map<std::string, std::uint64_t> Counts() const;

 private:
  explicit JsonRedactor(std::shared_ptr<const Redactor> redactor);

  std::shared_ptr<const Redactor> redactor_;
};

/// What is wrong with a rule, without its index: `.value: "(": missing )`.
absl::Status CheckRedactionRule(const RedactionRule& rule);

}  // namespace internal
}  // namespace v0
}  // namespace weft
