// SPDX-License-Identifier: Apache-2.0
#include "otlp/json_values.h"

#include <utility>

#include "langsmith/json_scanner.h"
#include "otlp/json_text.h"

namespace weft::collector {
namespace {

// Most texts are prose.
bool MayBeJson(std::string_view text) {
  constexpr std::string_view kFirst = "{[\"-0123456789tfnN";
  return !text.empty() && kFirst.find(text.front()) != std::string_view::npos;
}

}  // namespace

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::optional<std::string> ParsedJson(std::string_view text) {
  text = Trimmed(text);
  if (!MayBeJson(text)) return std::nullopt;
  std::string repaired;
  JsonScanner scanner(text, &repaired);
  if (!scanner.SkipValue() || !scanner.Finish()) return std::nullopt;
  return scanner.defects() == 0 ? std::string(text) : std::move(repaired);
}

bool IsJsonObject(std::string_view json) { return json.starts_with('{'); }
bool IsJsonArray(std::string_view json) { return json.starts_with('['); }

std::string JsonOf(const AttributeValue& value) {
  if (!value.is_text()) return value.Json();
  return ParsedJson(value.bytes).value_or(JsonString(value.bytes));
}

std::string Wrap(std::string_view key, std::string_view json) {
  JsonObjectWriter object;
  object.Add(key, json);
  return object.Take();
}

void AppendJsonOrWrap(const AttributeValue& value, std::string_view key, std::string& out) {
  const std::optional<std::string> json =
      value.is_text() ? ParsedJson(value.bytes) : std::optional(value.Json());
  if (json && IsJsonObject(*json)) {
    out += *json;
    return;
  }
  JsonObjectWriter object(out);
  if (json) {
    object.Add(key, *json);
  } else {
    object.AddText(key, value.bytes);
  }
  object.Close();
}

}  // namespace weft::collector
