// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "run_view.h"

namespace weft::cli {

/// Tokens and cost of model calls; absent: nobody said.
struct Usage {
  std::optional<std::int64_t> input_tokens{};
  std::optional<std::int64_t> output_tokens{};
  std::optional<double> cost{};  ///< US dollars, as LangSmith has it.
  std::size_t runs = 0;          ///< How many said so.

  static Usage Of(const RunView& run);
  bool empty() const { return !input_tokens && !output_tokens && !cost; }
  /// Sums of tokens stop at the border of their type.
  void Add(const Usage& other);
};

/// Which runs count in a sum.
enum class CountedRuns {
  kLeaves,  ///< Those below which nobody says usage: a parent that adds up its children's repeats
            ///< it.
  kAll,     ///< All: each says its own and nothing of others.
};

/// The value of `--count`. Errors: InvalidArgument names it.
absl::StatusOr<CountedRuns> ParseCountedRuns(std::string_view text);

/// The sum over the runs of a trace.
Usage AddUp(std::span<const RunView> runs, CountedRuns counted);

/// What a sum is made for.
enum class UsageKey { kTrace, kUser, kWorkflow, kThread, kService, kModel, kEdge };

/// The value of `--by`. Errors: InvalidArgument names it.
absl::StatusOr<UsageKey> ParseUsageKey(std::string_view text);

struct UsageGroup {
  std::string key;  ///< Empty: runs that do not say.
  Usage usage;
};

/// Adds up traces, a sum for each value of a key, the dearest first.
///
/// A run that does not say who its user, workflow or thread is has those of the run that called it.
/// An edge goes from the service that called to the one that did the work: `gateway > planner`;
/// `> gateway` is what came from outside.
class UsageSums {
 public:
  UsageSums(UsageKey key, CountedRuns counted) : key_(key), counted_(counted) {}

  /// The runs of one trace.
  void Add(std::span<const RunView> trace);
  std::vector<UsageGroup> Groups() const;

 private:
  UsageKey key_;
  CountedRuns counted_;
  std::map<std::string, Usage> sums_;
};

}  // namespace weft::cli
