// SPDX-License-Identifier: Apache-2.0
#include "root_lot.h"

#include <array>
#include <cmath>

#include <weft/tracing/sampling.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::system_clock;

constexpr int kMostTries = 1024;  // Some 30 microseconds at the very worst.

constexpr double kBuckets = 1e6;  // Of SamplingBucket.

/// The first bucket that is out of the sample.
std::uint32_t LimitOf(double rate) noexcept {
  if (!(rate > 0)) return 0;
  auto limit = static_cast<std::uint32_t>(std::ceil(rate * kBuckets));
  while (limit / kBuckets < rate) ++limit;
  while ((limit - 1) / kBuckets >= rate) --limit;
  return limit;
}

std::uint64_t ThresholdOf(double share) noexcept {
  if (share == 0) return 0;
  const double found = -std::expm1(kMostTries * std::log1p(-share));
  return static_cast<std::uint64_t>(std::ldexp(share / found, 64));
}

}  // namespace

std::optional<RootLot> RootLot::Of(double rate) noexcept {
  // Above it most roots are recorded anyway, and ids outside take many tries.
  constexpr double kMostRate = 0.9;
  if (rate > kMostRate) return std::nullopt;
  return RootLot(rate);
}

RootLot::RootLot(double rate) noexcept
    : limit_(LimitOf(rate)), threshold_(ThresholdOf(limit_ / kBuckets)) {}

bool RootLot::IsSampled(const RunId& id) const noexcept {
  std::array<char, RunId::kTextSize> text;
  id.Write(text.data());
  return SamplingBucket({text.data(), text.size()}) < limit_;
}

RunId RootLot::IdOfCast(system_clock::time_point start) const noexcept {
  RunId id = RunId::New(start);
  for (int tries = 1; tries < kMostTries && !IsSampled(id); ++tries) {
    id = RunId::New(start);
  }
  return id;
}

RunId RootLot::IdOutside(system_clock::time_point start) const noexcept {
  RunId id = RunId::New(start);
  while (IsSampled(id)) id = RunId::New(start);
  return id;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
