// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "redactor.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::array<std::string_view, 7> kFields = {"inputs",   "outputs", "error",      "events",
                                                     "metadata", "tags",    "attachments"};

re2::RE2::Options Quietly(bool case_sensitive) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(case_sensitive);
  return options;
}

absl::Status InvalidRule(std::size_t index, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat("redaction.rules[", index, "]", problem));
}

// The steps of a JSON pointer; nothing when it is none, or names no field of a run.
std::optional<std::vector<std::string>> ParsePointer(std::string_view text) {
  if (!text.starts_with('/')) return std::nullopt;
  std::vector<std::string> steps;
  for (std::size_t at = 1; at <= text.size();) {
    const std::size_t end = std::min(text.find('/', at), text.size());
    std::string step;
    for (std::size_t i = at; i < end; ++i) {
      if (text[i] != '~') {
        step += text[i];
      } else if (++i < end && (text[i] == '0' || text[i] == '1')) {
        step += text[i] == '0' ? '~' : '/';
      } else {
        return std::nullopt;
      }
    }
    steps.push_back(std::move(step));
    at = end + 1;
  }
  const std::string& field = steps.front();
  const bool known = std::find(kFields.begin(), kFields.end(), field) != kFields.end();
  if (!known && field != "*" && field != "**") return std::nullopt;
  return steps;
}

absl::StatusOr<std::unique_ptr<const re2::RE2>> CompileExpression(const std::string& expression,
                                                                  bool case_sensitive) {
  if (expression.empty()) return nullptr;
  auto compiled = std::make_unique<const re2::RE2>(expression, Quietly(case_sensitive));
  if (!compiled->ok()) {
    return absl::InvalidArgumentError(absl::StrCat(": \"", expression, "\": ", compiled->error()));
  }
  return compiled;
}

template <typename Step>
bool IsStep(std::string_view wanted, const Step& step) {
  if (wanted == "*") return true;
  if (step.key.data() != nullptr) return step.key == wanted;
  return wanted == std::to_string(step.index);
}

template <typename Step>
bool Leads(std::span<const std::string> pointer, std::span<const Step> path) {
  if (pointer.empty()) return path.empty();
  if (pointer.front() == "**") {
    for (std::size_t skipped = 0; skipped <= path.size(); ++skipped) {
      if (Leads(pointer.subspan(1), path.subspan(skipped))) return true;
    }
    return false;
  }
  return !path.empty() && IsStep(pointer.front(), path.front()) &&
         Leads(pointer.subspan(1), path.subspan(1));
}

}  // namespace

absl::StatusOr<CompiledRule> CompileRule(const RedactionRule& rule, std::size_t index) {
  CompiledRule compiled;
  compiled.name = rule.name.empty() ? absl::StrCat("rule-", index) : rule.name;
  compiled.action = rule.action;
  compiled.length = rule.length;
  if (rule.pointer.empty() && rule.key.empty() && rule.value.empty()) {
    return InvalidRule(index, ": has no pointer, key or value; \"/**\" points to everything");
  }
  if (!rule.pointer.empty()) {
    auto steps = ParsePointer(rule.pointer);
    if (!steps) {
      return InvalidRule(index, absl::StrCat(".pointer: \"", rule.pointer,
                                             "\" is no JSON pointer to a field of a run"));
    }
    compiled.pointer = *std::move(steps);
  }
  auto key = CompileExpression(rule.key, false);
  if (!key.ok()) return InvalidRule(index, ".key" + std::string(key.status().message()));
  compiled.key = *std::move(key);
  auto allow = CompileExpression(rule.allow, false);
  if (!allow.ok()) return InvalidRule(index, ".allow" + std::string(allow.status().message()));
  compiled.allow = *std::move(allow);
  if (compiled.allow != nullptr && compiled.pointer.empty()) {
    return InvalidRule(index, ".allow: needs a pointer to what is not allowed otherwise");
  }
  auto value = CompileExpression(rule.value, true);
  if (!value.ok()) return InvalidRule(index, ".value" + std::string(value.status().message()));
  compiled.value = *std::move(value);
  return compiled;
}

bool Redactor::IsAt(const CompiledRule& rule, const Path& path) const {
  if (rule.key != nullptr || rule.allow != nullptr) {
    // The nearest key; the elements of an array have its key. A field is no key.
    std::size_t at = path.size() - 1;
    while (at > 0 && path[at].key.data() == nullptr) --at;
    const re2::StringPiece key(path[at].key.data(), path[at].key.size());
    if (at == 0 || (rule.key != nullptr && !re2::RE2::FullMatch(key, *rule.key))) return false;
    if (rule.allow != nullptr && re2::RE2::FullMatch(key, *rule.allow)) return false;
  }
  return rule.pointer.empty() || Leads<Step>(rule.pointer, path);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
