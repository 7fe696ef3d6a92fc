// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include <absl/strings/str_format.h>
#include <boost/json.hpp>

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

/// True if the span tells it.
bool AddCost(Attributes& attributes, std::string_view name, Keys keys, JsonObjectWriter& out) {
  for (const std::string_view key : keys) {
    if (!attributes.Has(key)) continue;
    const AttributeValue value = attributes.Value(key);
    const std::string cost = value.is_text() ? ParsedJson(value.bytes).value_or("") : value.Json();
    if (cost.empty() || (cost[0] != '-' && (cost[0] < '0' || cost[0] > '9'))) continue;
    attributes.MarkUsed(key);
    out.Add(name, cost);
    return true;
  }
  return false;
}

/// What the tokens of one direction are, with those that a cache spared.
struct Tokens {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t cache_read = 0;      ///< Of `input`.
  std::int64_t cache_creation = 0;  ///< Of `input`.
};

std::int64_t CountIn(std::string_view details, std::string_view name) {
  boost::json::error_code error;
  const boost::json::value json = boost::json::parse({details.data(), details.size()}, error);
  const auto* const object = error ? nullptr : json.if_object();
  const auto* const count =
      object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
  if (count == nullptr || !count->is_number()) return 0;
  const auto number = count->to_number<std::int64_t>(error);
  return error ? 0 : number;
}

std::string Dollars(double cost) { return absl::StrFormat("%.12g", cost); }

/// False: there is no price.
bool AddComputedCost(Attributes& attributes, const Tokens& tokens, const Prices& prices,
                     JsonObjectWriter& out) {
  std::string_view model;
  for (const std::string_view key : kModelKeys) {
    if (model.empty()) model = attributes.Text(key);
  }
  if (model.empty()) return false;
  const std::optional<ModelPrice> price = prices.Of(model);
  if (!price) return false;
  const auto cost = [](std::int64_t count, double dollars_a_million) {
    return static_cast<double>(std::max<std::int64_t>(count, 0)) * dollars_a_million / 1e6;
  };
  const double input =
      cost(tokens.input - tokens.cache_read - tokens.cache_creation, price->input) +
      cost(tokens.cache_read, price->cache_read.value_or(price->input)) +
      cost(tokens.cache_creation, price->cache_creation.value_or(price->input));
  const double output = cost(tokens.output, price->output);
  out.Add("input_cost", Dollars(input));
  out.Add("output_cost", Dollars(output));
  out.Add("total_cost", Dollars(input + output));
  return true;
}

}  // namespace

SpanUsage UsageOf(Attributes& attributes, const Prices* prices) {
  constexpr std::string_view kWhole = "langsmith.usage_metadata";
  if (attributes.Has(kWhole)) {
    const std::string whole = JsonOf(attributes.Value(kWhole));
    if (IsJsonObject(whole)) {
      attributes.MarkUsed(kWhole);
      return {whole};
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

  bool tells_cost = AddCost(attributes, "input_cost", {"llm.cost.prompt"}, usage);
  tells_cost |= AddCost(attributes, "output_cost", {"llm.cost.completion"}, usage);
  tells_cost |= AddCost(attributes, "total_cost", {"llm.cost.total", "gen_ai.usage.cost"}, usage);
  if (usage.empty()) return {};
  bool is_computed = false;
  if (prices != nullptr && !tells_cost && (input || output)) {
    const Tokens tokens{.input = input.value_or(0),
                        .output = output.value_or(0),
                        .cache_read = CountIn(input_details, "cache_read"),
                        .cache_creation = CountIn(input_details, "cache_creation")};
    is_computed = AddComputedCost(attributes, tokens, *prices, usage);
  }
  return {usage.Take(), is_computed};
}

}  // namespace weft::collector
