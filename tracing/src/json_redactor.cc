// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/json_redactor.h>

#include <utility>

#include "redactor.h"

namespace weft {
inline namespace v0 {
namespace internal {

absl::StatusOr<std::shared_ptr<const JsonRedactor>> JsonRedactor::Create(RedactionOptions options) {
  auto redactor = Redactor::Create(std::move(options));
  if (!redactor.ok()) return redactor.status();
  return std::shared_ptr<const JsonRedactor>(new JsonRedactor(*std::move(redactor)));
}

JsonRedactor::JsonRedactor(std::shared_ptr<const Redactor> redactor)
    : redactor_(std::move(redactor)) {}

JsonRedactor::Outcome JsonRedactor::Redact(std::string_view field, Json& value) const noexcept {
  return redactor_->RedactField(field, value);
}

std::map<std::string, std::uint64_t> JsonRedactor::Counts() const { return redactor_->Counts(); }

absl::Status CheckRedactionRule(const RedactionRule& rule) {
  const absl::Status status = CompileRule(rule, 0).status();
  constexpr std::string_view kPrefix = "redaction.rules[0]";
  std::string text(status.message());
  if (text.starts_with(kPrefix)) text.erase(0, kPrefix.size());
  if (text.starts_with(": ")) text.erase(0, 2);
  return status.ok() ? status : absl::InvalidArgumentError(text);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
