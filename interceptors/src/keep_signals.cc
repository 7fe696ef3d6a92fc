// SPDX-License-Identifier: Apache-2.0
#include "keep_signals.h"

#include "header_exchange.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMostPeers = 1024;

}  // namespace

KeepSignals::KeepSignals(double per_second)
    : per_second_(per_second), rate_(Rate::Of(per_second, 0)), buckets_(kMostPeers) {}

void KeepSignals::Receive(Run& run, const MetadataView& metadata, bool trusted,
                          absl::FunctionRef<std::string()> peer) noexcept try {
  if (!HearsKeepSignals(run) || metadata.Get(kKeepHeader) != kKeepValue) return;
  if (!trusted) return TakeKeepSignal(run, KeepSignal::kIgnored);
  const bool taken = run.kept() || (per_second_ > 0 &&
                                    buckets_.Take(WithoutPort(peer()), rate_, SteadyNow()) == 0);
  TakeKeepSignal(run, taken ? KeepSignal::kFollowed : KeepSignal::kLimited);
} catch (...) {
  CountHookFailure();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
