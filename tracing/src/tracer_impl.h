// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <weft/tracing/tracer.h>

#include "fork.h"
#include "open_runs.h"
#include "promotion_buffer.h"
#include "root_lot.h"
#include "sampling_rules.h"
#include "times.h"

namespace weft {
inline namespace v0 {

struct Tracer::Impl {
  /// `redactor`: may be null.
  Impl(TracerOptions tracer_options, std::shared_ptr<const internal::Redactor> redactor);

  TracerOptions options;
  std::shared_ptr<const Sampler> sampler;  ///< Null: the rate alone decides.
  /// Of a root that nobody says anything about.
  std::shared_ptr<const TraceBaggage> baggage;
  const bool detects_context_loss;
  std::shared_ptr<const RunEnvironment> environment;
  /// Of runs that are sent though they are out of the sample.
  std::shared_ptr<const RunEnvironment> promoted_environment;
  std::shared_ptr<internal::OpenRuns> open_runs;  ///< Null when nothing can be sent.
  /// Runs out of the sample; null when none are held.
  std::unique_ptr<internal::PromotionBuffer> held;
  internal::ForkMark fork_mark;
  const internal::SamplingRules* rules = nullptr;  ///< `sampler`, if it is one of these.
  std::optional<internal::RootLot> root_lot;       ///< Where there is no sampler.
  // Every thread changes these; what stands above, every thread reads. So not on one cache line.
  // Runs that may be sent while they are open are counted by open_runs, those that are held by
  // `held`; here are the others in the sample, the others out of it, and those of open_runs out of
  // it.
  alignas(64) std::atomic<std::uint64_t> created{0};
  std::atomic<std::uint64_t> sampled_out{0};
  std::atomic<std::uint64_t> sampled_out_open{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> setter_after_end{0};
  std::atomic<std::uint64_t> context_lost{0};
  std::atomic<std::uint64_t> promoted{0};
  std::atomic<std::uint64_t> keeps_received{0};
  std::atomic<std::uint64_t> keeps_ignored{0};
  std::atomic<std::uint64_t> keeps_limited{0};

  std::chrono::system_clock::time_point Now() const noexcept {
    return options.clock ? options.clock->Now() : std::chrono::system_clock::now();
  }
  std::chrono::steady_clock::time_point Steady() const noexcept {
    return options.clock ? options.clock->Steady() : std::chrono::steady_clock::now();
  }
  /// Some milliseconds late at most, for a tenth of the price.
  std::chrono::system_clock::time_point CoarseNow() const noexcept {
    return options.clock ? options.clock->Now() : internal::ReadCoarseClock();
  }
  /// Both, of one moment.
  internal::Times Times() const noexcept {
    if (!options.clock) [[likely]]
      return internal::ReadClocks();
    return {options.clock->Now(), options.clock->Steady()};
  }
  RunId NewId(std::chrono::system_clock::time_point start) const noexcept {
    return options.ids ? options.ids->New(start) : RunId::New(start);
  }
  /// For a root that `lot`, which may be null, did not fall on.
  RunId NewIdOutside(const internal::RootLot* lot,
                     std::chrono::system_clock::time_point start) const noexcept {
    return lot != nullptr && !options.ids ? lot->IdOutside(start) : NewId(start);
  }
  /// False: surely none, whatever else is known of it.
  bool MaySample() const noexcept;
  bool MaySample(const RunId& trace_id) const noexcept;
  /// Gives the record to every exporter, hiding what the options hide.
  void Send(RunRecord&& record) noexcept;
  /// The same for a run out of the sample.
  void SendPromoted(RunRecord&& record) noexcept;
  /// Keeps a trace that is out of the sample: what is held of it is sent, and what is
  /// open as other open runs are.
  void Promote(internal::HeldTrace& trace) noexcept;
  void Give(Exporter& exporter, RunRecord&& record) const noexcept;
};

namespace internal {

/// False: there is no GlobalTracer(), or it was made with tracing off.
bool HasEnabledGlobalTracer() noexcept;

/// GlobalTracer(), or null when it was made with tracing off: found without a lock.
std::shared_ptr<Tracer> EnabledGlobalTracer() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
