// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include <weft/tracing/sampling.h>

#include "root_lot.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// What SampleByRules() makes.
class SamplingRules final : public Sampler {
 public:
  SamplingRules(std::vector<SamplingRule> rules, double otherwise);

  SamplingDecision Decide(const SamplingQuestion& asked) const noexcept override;

  /// For a root, whose id is not asked for; null: its id decides.
  const RootLot* LotOf(const SamplingQuestion& asked) const noexcept;

 private:
  struct Entry {
    SamplingRule rule;
    std::optional<RootLot> lot;
  };

  const Entry& Find(const SamplingQuestion& asked) const noexcept;

  std::vector<Entry> entries_;  // The last one fits everything.
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
