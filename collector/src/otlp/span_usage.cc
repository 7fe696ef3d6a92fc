// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "otlp/json_text.h"
#include "otlp/json_values.h"
#include "otlp/span_extra.h"

namespace weft::collector {
namespace {

using Keys = std::initializer_list<std::string_view>;

// The first of the keys that holds a number, however it was sent.
std::optional<std::int64_t> FirstCount(Attributes& attributes, Keys keys) {
  for (const std::string_view key : keys) {
    Attributes::Entry* const entry = attributes.Find(key);
    if (entry == nullptr) continue;
    if (const auto count = AttributeValue::Read(entry->value).Integer()) {
      entry->used = true;
      return count;
    }
  }
  return std::nullopt;
}

// Several names of one number: the first counts, and none of them is anything else.
void AddCount(Attributes& attributes, std::string_view name, Keys keys, JsonObjectWriter& out) {
  if (const auto count = FirstCount(attributes, keys)) out.Add(name, std::to_string(*count));
}

// The details as they were sent, or put together from single attributes.
std::string DetailsOf(Attributes& attributes, std::string_view whole,
                      std::initializer_list<std::pair<std::string_view, Keys>> single) {
  if (attributes.Has(whole)) {
    const std::string sent = JsonOf(attributes.Value(whole));
    if (IsJsonObject(sent)) {
      attributes.MarkUsed(whole);
      return sent;
    }
  }
  JsonObjectWriter details;
  for (const auto& [name, keys] : single) AddCount(attributes, name, keys, details);
  return details.empty() ? "" : details.Take();
}

void AddCost(Attributes& attributes, std::string_view name, Keys keys, JsonObjectWriter& out) {
  for (const std::string_view key : keys) {
    if (!attributes.Has(key)) continue;
    const AttributeValue value = attributes.Value(key);
    const std::string cost = value.is_text() ? ParsedJson(value.bytes).value_or("") : value.Json();
    if (cost.empty() || (cost[0] != '-' && (cost[0] < '0' || cost[0] > '9'))) continue;
    attributes.MarkUsed(key);
    out.Add(name, cost);
    return;
  }
}

}  // namespace

std::string UsageOf(Attributes& attributes) {
  constexpr std::string_view kWhole = "langsmith.usage_metadata";
  if (attributes.Has(kWhole)) {
    const std::string whole = JsonOf(attributes.Value(kWhole));
    if (IsJsonObject(whole)) {
      attributes.MarkUsed(kWhole);
      return whole;
    }
  }
  JsonObjectWriter usage;
  const auto input =
      FirstCount(attributes, {"gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
                              "llm.token_count.prompt", "ai.usage.promptTokens"});
  const auto output =
      FirstCount(attributes, {"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
                              "llm.token_count.completion", "ai.usage.completionTokens"});
  auto total = FirstCount(
      attributes, {"gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"});
  if (!total && (input || output)) total = input.value_or(0) + output.value_or(0);
  if (input) usage.Add("input_tokens", std::to_string(*input));
  if (output) usage.Add("output_tokens", std::to_string(*output));
  if (total) usage.Add("total_tokens", std::to_string(*total));

  const std::string input_details = DetailsOf(
      attributes, "gen_ai.usage.input_token_details",
      {{"cache_read",
        {"gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"}},
       {"cache_creation",
        {"gen_ai.usage.cache_creation.input_tokens",
         "llm.token_count.prompt_details.cache_write"}}});
  if (!input_details.empty()) usage.Add("input_token_details", input_details);
  const std::string output_details =
      DetailsOf(attributes, "gen_ai.usage.output_token_details",
                {{"reasoning",
                  {"gen_ai.usage.details.reasoning_tokens",
                   "llm.token_count.completion_details.reasoning"}}});
  if (!output_details.empty()) usage.Add("output_token_details", output_details);

  AddCost(attributes, "input_cost", {"llm.cost.prompt"}, usage);
  AddCost(attributes, "output_cost", {"llm.cost.completion"}, usage);
  AddCost(attributes, "total_cost", {"llm.cost.total", "gen_ai.usage.cost"}, usage);
  return usage.empty() ? "" : usage.Take();
}

}  // namespace weft::collector
