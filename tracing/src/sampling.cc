// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/sampling.h>

#include <algorithm>
#include <array>
#include <utility>

#include <weft/tracing/internal/glob.h>

#include "sampling_rules.h"

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

namespace {

class Fixed final : public Sampler {
 public:
  explicit Fixed(bool sampled) noexcept : sampled_(sampled) {}
  SamplingDecision Decide(const SamplingQuestion& /*asked*/) const noexcept override {
    return {.sampled = sampled_};
  }

 private:
  const bool sampled_;
};

bool Fits(const SamplingRule& rule, const SamplingQuestion& asked) noexcept {
  return internal::MatchesGlob(rule.project, asked.project) &&
         internal::MatchesGlob(rule.method, asked.method) &&
         internal::MatchesGlob(rule.name, asked.name);
}

}  // namespace

internal::SamplingRules::SamplingRules(std::vector<SamplingRule> rules, double otherwise) {
  rules.push_back({.rate = otherwise});
  for (SamplingRule& rule : rules) {
    const auto lot = RootLot::Of(rule.rate);
    entries_.push_back({std::move(rule), lot});
  }
}

const internal::SamplingRules::Entry& internal::SamplingRules::Find(
    const SamplingQuestion& asked) const noexcept {
  return *std::find_if(entries_.begin(), entries_.end() - 1,
                       [&](const Entry& each) { return Fits(each.rule, asked); });
}

SamplingDecision internal::SamplingRules::Decide(const SamplingQuestion& asked) const noexcept {
  const double rate = Find(asked).rule.rate;
  return {.sampled = SampledByTraceId(asked.trace_id(), rate), .rate = rate};
}

const internal::RootLot* internal::SamplingRules::LotOf(
    const SamplingQuestion& asked) const noexcept {
  const Entry& entry = Find(asked);
  return entry.lot ? &*entry.lot : nullptr;
}

std::shared_ptr<const Sampler> Always() { return std::make_shared<Fixed>(true); }

std::shared_ptr<const Sampler> Never() { return std::make_shared<Fixed>(false); }

std::shared_ptr<const Sampler> SampleByRules(std::vector<SamplingRule> rules, double otherwise) {
  return std::make_shared<internal::SamplingRules>(std::move(rules), otherwise);
}

}  // namespace v0
}  // namespace weft
