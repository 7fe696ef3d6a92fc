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

void KeepSignals::Receive(const MetadataView& metadata, bool trusted, Tracer* tracer,
                          absl::FunctionRef<RunRef()> find,
                          absl::FunctionRef<std::string()> peer) noexcept try {
  if (metadata.Get(kKeepHeader) != kKeepValue) return;
  const RunRef run = find();
  if (!HearsKeepSignals(run, tracer)) return;
  if (!trusted) return TakeKeepSignal(run, tracer, KeepSignal::kIgnored);
  const bool taken = run.kept() || (per_second_ > 0 &&
                                    buckets_.Take(WithoutPort(peer()), rate_, SteadyNow()) == 0);
  TakeKeepSignal(run, tracer, taken ? KeepSignal::kFollowed : KeepSignal::kLimited);
} catch (...) {
  CountHookFailure();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
