// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/run_id.h>

namespace weft {
inline namespace v0 {

/// LangSmith's head sampling: a hash of the trace id decides, so that every process and SDK decides
/// alike and no flag travels. Kept are traces whose bucket is below `rate` (0 none, 1 all).
///
///     if (!SampledByTraceId(run.trace_id(), 0.1)) return;
bool SampledByTraceId(const RunId& trace_id, double rate) noexcept;

/// For ids as text. Hashed as it is: the caller puts UUIDs into lower case.
bool SampledByTraceId(std::string_view trace_id, double rate) noexcept;

/// XXH3-128 of the text modulo 1,000,000.
std::uint32_t SamplingBucket(std::string_view trace_id) noexcept;

namespace internal {

/// Makes the id of a trace for the first who asks.
class TraceIdSource {
 public:
  virtual const RunId& Get() const noexcept = 0;

 protected:
  ~TraceIdSource() = default;
};

}  // namespace internal

/// What a Sampler knows: of the root of a trace that begins here, or of the first run below a
/// caller in another process. Runs below those are decided with them.
class SamplingQuestion {
 public:
  explicit SamplingQuestion(const RunId& trace_id) noexcept : known_(trace_id) {}
  /// Lifetime: of `source`.
  explicit SamplingQuestion(const internal::TraceIdSource& source) noexcept : source_(&source) {}

  /// Cost: that of a trace that begins here is made when it is asked for, which takes about as
  /// long as all else of a run that is not in the sample.
  const RunId& trace_id() const noexcept { return source_ != nullptr ? source_->Get() : known_; }

  std::string_view project{};  ///< Empty: an agent's address stands in its place.
  std::string_view method{};   ///< `/package.Service/Method` for the run of a call; else empty.
  std::string_view name{};     ///< Of the run.

 private:
  RunId known_{};
  const internal::TraceIdSource* source_ = nullptr;  // Null: `known_`.
};

struct SamplingDecision {
  bool sampled = true;
  /// The share that the decision stands for: metadata `ls_tracing_sample_rate` of the run that was
  /// asked about.
  std::optional<double> rate{};
};

/// Decides which traces are sent, where a rate for all does not do (TracerOptions::sampler).
///
///     class ByTenant : public weft::Sampler {
///      public:
///       weft::SamplingDecision Decide(const weft::SamplingQuestion& asked) const noexcept override
///       {
///         return {.sampled = weft::CurrentBaggage("tenant") == "blue"};
///       }
///     };
///
/// Threads: any, at the same time. Runs where runs begin: must not block.
class Sampler {
 public:
  Sampler() = default;
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  virtual ~Sampler() = default;

  virtual SamplingDecision Decide(const SamplingQuestion& asked) const noexcept = 0;
};

/// Every trace, and none. With Never an error is still kept: TracerOptions::error_promotion.
std::shared_ptr<const Sampler> Always();
std::shared_ptr<const Sampler> Never();

/// Globs that all have to fit, `*` for anything, and the share of such traces.
struct SamplingRule {
  std::string project = "*";
  std::string method = "*";
  std::string name = "*";
  double rate = 1;
};

/// The first rule that fits decides, by LangSmith's hash of the trace id; `otherwise` is the rate
/// where none does. What TracerOptions::sampling_rules and sampling_rate stand for.
///
///     .sampling_rules = {{.method = "/grpc.health.*", .rate = 0}, {.project = "canary"}},
///     .sampling_rate = 0.1
std::shared_ptr<const Sampler> SampleByRules(std::vector<SamplingRule> rules, double otherwise = 1);

}  // namespace v0
}  // namespace weft
