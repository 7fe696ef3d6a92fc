// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <weft/tracing/run_id.h>

#include "random_bits.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Decides about roots before they have ids: a lot is cast, and the id that is made later, if
/// anybody asks for it, is one that LangSmith's hash decides alike. Of what is out of the sample
/// most ids are never asked for; making one and its hash takes longer than all else.
///
///     if (!lot->Cast()) return lot->IdOutside(start);  // out of the sample
///     RunId id = lot->IdOfCast(start);                 // its hash decides now
///
/// A root that the lot falls on gets the first of up to kMostTries ids that is in the sample, else
/// the last; the chance of the lot makes up for those, so that the share of the sample, and the ids
/// on either side of it, are as if each root had been given the first id and judged by that.
///
/// Threads: any.
class RootLot {
 public:
  /// Null where nearly all are in the sample: their ids decide.
  static std::optional<RootLot> Of(double rate) noexcept;

  bool Cast() const noexcept { return threshold_ != 0 && RandomBits() < threshold_; }
  RunId IdOfCast(std::chrono::system_clock::time_point start) const noexcept;
  RunId IdOutside(std::chrono::system_clock::time_point start) const noexcept;

 private:
  explicit RootLot(double rate) noexcept;

  bool IsSampled(const RunId& id) const noexcept;

  std::uint32_t limit_;
  std::uint64_t threshold_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
