// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/sampling.h>

#include <array>

// Header-only use: nothing to link for those who install weft.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace weft {
inline namespace v0 {

std::uint32_t SamplingBucket(std::string_view trace_id) noexcept {
  constexpr std::uint64_t kBuckets = 1'000'000;
  constexpr std::uint64_t kTwoTo64 = 551'616;  // 2^64 modulo kBuckets
  const XXH128_hash_t hash = XXH3_128bits(trace_id.data(), trace_id.size());
  return static_cast<std::uint32_t>((hash.high64 % kBuckets * kTwoTo64 + hash.low64 % kBuckets) %
                                    kBuckets);
}

bool SampledByTraceId(std::string_view trace_id, double rate) noexcept {
  if (rate >= 1) return true;
  if (!(rate > 0)) return false;
  return SamplingBucket(trace_id) / 1e6 < rate;
}

bool SampledByTraceId(const RunId& trace_id, double rate) noexcept {
  std::array<char, RunId::kTextSize> text;
  trace_id.Write(text.data());
  return SampledByTraceId(std::string_view(text.data(), text.size()), rate);
}

}  // namespace v0
}  // namespace weft
