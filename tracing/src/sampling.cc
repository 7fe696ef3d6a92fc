// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/sampling.h>

#include <algorithm>
#include <array>
#include <utility>

#include <weft/tracing/internal/glob.h>

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

class ByRules final : public Sampler {
 public:
  ByRules(std::vector<SamplingRule> rules, double otherwise) noexcept
      : rules_(std::move(rules)), otherwise_(otherwise) {}

  SamplingDecision Decide(const SamplingQuestion& asked) const noexcept override {
    const auto rule = std::find_if(rules_.begin(), rules_.end(), [&](const SamplingRule& each) {
      return internal::MatchesGlob(each.project, asked.project) &&
             internal::MatchesGlob(each.method, asked.method) &&
             internal::MatchesGlob(each.name, asked.name);
    });
    const double rate = rule != rules_.end() ? rule->rate : otherwise_;
    return {.sampled = SampledByTraceId(asked.trace_id, rate), .rate = rate};
  }

 private:
  const std::vector<SamplingRule> rules_;
  const double otherwise_;
};

}  // namespace

std::shared_ptr<const Sampler> Always() { return std::make_shared<Fixed>(true); }

std::shared_ptr<const Sampler> Never() { return std::make_shared<Fixed>(false); }

std::shared_ptr<const Sampler> SampleByRules(std::vector<SamplingRule> rules, double otherwise) {
  return std::make_shared<ByRules>(std::move(rules), otherwise);
}

}  // namespace v0
}  // namespace weft
