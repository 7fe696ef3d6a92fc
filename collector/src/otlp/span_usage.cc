// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
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

// Of all keys below.
constexpr std::string_view kUsagePrefixes[] = {"gen_ai.usage.", "llm.token_count.",
                                               "llm.usage.",    "ai.usage.",
                                               "llm.cost.",     "langsmith.usage_metadata"};

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

std::int64_t Sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  using Limits = std::numeric_limits<std::int64_t>;
  return a < 0 ? Limits::min() : Limits::max();
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

/// As doubles, counts from the network neither overflow nor make a cost that is no number.
constexpr double kMostTokens = 1e18;

double CountIn(std::string_view details, std::string_view name) {
  if (details.empty()) return 0;
  boost::json::error_code error;
  const boost::json::value json = boost::json::parse({details.data(), details.size()}, error);
  const auto* const object = error ? nullptr : json.if_object();
  const auto* const count =
      object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
  if (count == nullptr || !count->is_number()) return 0;
  return std::clamp(count->to_number<double>(), 0.0, kMostTokens);
}

std::optional<ModelPrice> PriceOf(Attributes& attributes, const Prices* prices) {
  if (prices == nullptr || prices->empty()) return std::nullopt;
  for (const std::string_view key : kModelKeys) {
    const std::string_view model = attributes.Text(key);
    if (!model.empty()) return prices->Of(model);
  }
  return std::nullopt;
}

std::string Dollars(double cost) { return absl::StrFormat("%.12g", cost); }

void AddComputedCost(double input_tokens, double output_tokens, std::string_view input_details,
                     const ModelPrice& price, JsonObjectWriter& out) {
  const auto cost = [](double count, double dollars_a_million) {
    return std::max(count, 0.0) * dollars_a_million / 1e6;
  };
  const double cache_read = CountIn(input_details, "cache_read");
  const double cache_creation = CountIn(input_details, "cache_creation");
  const double input = cost(input_tokens - cache_read - cache_creation, price.input) +
                       cost(cache_read, price.cache_read.value_or(price.input)) +
                       cost(cache_creation, price.cache_creation.value_or(price.input));
  const double output = cost(output_tokens, price.output);
  out.Add("input_cost", Dollars(input));
  out.Add("output_cost", Dollars(output));
  out.Add("total_cost", Dollars(input + output));
}

}  // namespace

SpanUsage UsageOf(Attributes& attributes, const Prices* prices) {
  // Most spans tell none.
  const bool tells_any =
      std::any_of(std::begin(kUsagePrefixes), std::end(kUsagePrefixes),
                  [&](std::string_view prefix) { return attributes.MayHaveUnder(prefix); });
  if (!tells_any) return {};
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
  if (!total && (input || output)) total = Sum(input.value_or(0), output.value_or(0));
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
  std::optional<ModelPrice> price;
  if (!tells_cost && (input || output)) price = PriceOf(attributes, prices);
  if (price) {
    AddComputedCost(static_cast<double>(input.value_or(0)), static_cast<double>(output.value_or(0)),
                    input_details, *price, usage);
  }
  return {usage.Take(), price.has_value()};
}

}  // namespace weft::collector
