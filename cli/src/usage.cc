// SPDX-License-Identifier: Apache-2.0
#include "usage.h"

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <utility>

#include <absl/status/status.h>

#include "run_forest.h"
#include "text.h"

namespace weft::cli {
namespace {

using Limits = std::numeric_limits<std::int64_t>;

void AddTokens(std::optional<std::int64_t>& sum, std::optional<std::int64_t> count) {
  if (!count) return;
  std::int64_t result = 0;
  if (__builtin_add_overflow(sum.value_or(0), *count, &result)) {
    result = *count < 0 ? Limits::min() : Limits::max();
  }
  sum = result;
}

template <typename Value, std::size_t kCount>
using Names = std::array<std::pair<std::string_view, Value>, kCount>;

template <typename Value, std::size_t kCount>
absl::StatusOr<Value> ByName(std::string_view option, const Names<Value, kCount>& names,
                             std::string_view text) {
  std::string known;
  for (const auto& [name, value] : names) {
    if (name == text) return value;
    if (!known.empty()) known += ", ";
    known += name;
  }
  return absl::InvalidArgumentError(std::string(option) + ": '" + EscapeControls(text) +
                                    "' is none of " + known);
}

/// The runs that count, and that say something.
std::vector<std::size_t> Choose(std::span<const RunView> runs, const RunForest& forest,
                                CountedRuns counted) {
  std::vector<std::size_t> chosen;
  std::vector<bool> has_below(runs.size());
  const std::vector<std::size_t> order = forest.TopDown();
  for (auto run = order.rbegin(); run != order.rend(); ++run) {
    const bool says = !Usage::Of(runs[*run]).empty();
    if (says && (counted == CountedRuns::kAll || !has_below[*run])) chosen.push_back(*run);
    const std::size_t parent = forest.parents[*run];
    if (parent != RunForest::kNone && (says || has_below[*run])) has_below[parent] = true;
  }
  return chosen;
}

/// What the run or the nearest above it says. Ends on a cycle of parents, too.
template <typename Says>
std::string_view Inherited(std::span<const RunView> runs, const RunForest& forest, std::size_t run,
                           const Says& says) {
  for (std::size_t steps = 0; run != RunForest::kNone && steps < runs.size(); ++steps) {
    const std::string_view value = says(runs[run]);
    if (!value.empty()) return value;
    run = forest.parents[run];
  }
  return {};
}

std::string Edge(std::span<const RunView> runs, const RunForest& forest, std::size_t run) {
  const auto service = [](const RunView& one) -> std::string_view { return one.service; };
  const std::string_view worker = Inherited(runs, forest, run, service);
  const std::string_view caller =
      Inherited(runs, forest, run, [worker](const RunView& one) -> std::string_view {
        return one.service == worker ? std::string_view() : std::string_view(one.service);
      });
  return std::string(caller) + (caller.empty() ? "> " : " > ") + std::string(worker);
}

std::string KeyOf(UsageKey key, std::span<const RunView> runs, const RunForest& forest,
                  std::size_t run) {
  const auto inherited = [&](std::string RunView::*field) {
    return std::string(Inherited(
        runs, forest, run, [field](const RunView& one) -> std::string_view { return one.*field; }));
  };
  switch (key) {
    case UsageKey::kTrace:
      return runs[run].trace_id;
    case UsageKey::kUser:
      return inherited(&RunView::user);
    case UsageKey::kWorkflow:
      return inherited(&RunView::workflow);
    case UsageKey::kThread:
      return inherited(&RunView::thread);
    case UsageKey::kService:
      return inherited(&RunView::service);
    case UsageKey::kModel:
      return runs[run].model;
    case UsageKey::kEdge:
      return Edge(runs, forest, run);
  }
  return {};
}

}  // namespace

Usage Usage::Of(const RunView& run) {
  Usage usage{
      .input_tokens = run.input_tokens, .output_tokens = run.output_tokens, .cost = run.cost};
  usage.runs = usage.empty() ? 0 : 1;
  return usage;
}

void Usage::Add(const Usage& other) {
  AddTokens(input_tokens, other.input_tokens);
  AddTokens(output_tokens, other.output_tokens);
  if (other.cost) cost = cost.value_or(0) + *other.cost;
  runs += other.runs;
}

absl::StatusOr<CountedRuns> ParseCountedRuns(std::string_view text) {
  constexpr Names<CountedRuns, 2> kNames = {
      {{"leaves", CountedRuns::kLeaves}, {"all", CountedRuns::kAll}}};
  return ByName("--count", kNames, text);
}

absl::StatusOr<UsageKey> ParseUsageKey(std::string_view text) {
  constexpr Names<UsageKey, 7> kNames = {{{"trace", UsageKey::kTrace},
                                          {"user", UsageKey::kUser},
                                          {"workflow", UsageKey::kWorkflow},
                                          {"thread", UsageKey::kThread},
                                          {"service", UsageKey::kService},
                                          {"model", UsageKey::kModel},
                                          {"edge", UsageKey::kEdge}}};
  return ByName("--by", kNames, text);
}

Usage AddUp(std::span<const RunView> runs, CountedRuns counted) {
  Usage sum;
  for (const std::size_t run : Choose(runs, Grow(runs), counted)) sum.Add(Usage::Of(runs[run]));
  return sum;
}

void UsageSums::Add(std::span<const RunView> trace) {
  const RunForest forest = Grow(trace);
  for (const std::size_t run : Choose(trace, forest, counted_)) {
    sums_[KeyOf(key_, trace, forest, run)].Add(Usage::Of(trace[run]));
  }
}

std::vector<UsageGroup> UsageSums::Groups() const {
  std::vector<UsageGroup> groups;
  for (const auto& [key, usage] : sums_) groups.push_back({key, usage});
  const auto weight = [](const UsageGroup& group) {
    const auto tokens = [](std::optional<std::int64_t> count) {
      return static_cast<double>(count.value_or(0));
    };
    return std::tuple(group.usage.cost.value_or(0),
                      tokens(group.usage.input_tokens) + tokens(group.usage.output_tokens));
  };
  std::stable_sort(groups.begin(), groups.end(),
                   [&](const UsageGroup& a, const UsageGroup& b) { return weight(a) > weight(b); });
  return groups;
}

}  // namespace weft::cli
