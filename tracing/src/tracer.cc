// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/tracer.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <weft/tracing/internal/call_in_flight.h>
#include <weft/tracing/sampling.h>

#include "redactor.h"
#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kShutdownTimeout{2};

#ifdef NDEBUG
constexpr bool kDebugBuild = false;
#else
constexpr bool kDebugBuild = true;
#endif

std::shared_ptr<const Sampler> SamplerOf(const TracerOptions& options) {
  if (options.sampler || options.sampling_rules.empty()) return options.sampler;
  return SampleByRules(options.sampling_rules, options.sampling_rate.value_or(1.0));
}

std::shared_ptr<const RunEnvironment> EnvironmentOf(
    const TracerOptions& options, std::shared_ptr<const internal::Redactor> redactor,
    bool promoted) {
  JsonObject values;
  if (!options.service_name.empty()) values["service.name"] = options.service_name;
  values["process.pid"] = static_cast<std::int64_t>(getpid());
  if (promoted) {
    values["weft_promoted"] = true;
  } else if (options.sampling_rate && SamplerOf(options) == nullptr) {
    values["ls_tracing_sample_rate"] = *options.sampling_rate;
  }
  auto environment = std::make_shared<RunEnvironment>(std::move(values));
  environment->hidden = {.inputs = options.hide_inputs, .outputs = options.hide_outputs};
  environment->redactor = std::move(redactor);
  return environment;
}

std::shared_ptr<const TraceBaggage> BaggageOf(const TracerOptions& options) {
  auto baggage = std::make_shared<TraceBaggage>();
  if (options.address) {
    baggage->address = NormalizeAgentAddress(*options.address);
  } else {
    baggage->project = options.project;
  }
  return baggage;
}

void SayForkedOnce() noexcept {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  std::fprintf(stderr, "weft: tracing is off in the forked process %d\n",
               static_cast<int>(getpid()));
}

steady_clock::time_point After(steady_clock::duration timeout) noexcept {
  // So that duration::max() means no limit instead of an overflow.
  return steady_clock::now() + std::min<steady_clock::duration>(timeout, std::chrono::hours(24));
}

steady_clock::duration Left(steady_clock::time_point deadline) noexcept {
  return std::max(deadline - steady_clock::now(), steady_clock::duration::zero());
}

/// While the first is waited for the others are at it, too.
void BeginFlush(const std::vector<std::shared_ptr<Exporter>>& exporters) noexcept {
  if (exporters.size() < 2) return;
  for (const auto& exporter : exporters) exporter->Flush(steady_clock::duration::zero());
}

}  // namespace

Tracer::Impl::Impl(TracerOptions tracer_options, std::shared_ptr<const internal::Redactor> redactor)
    : options(std::move(tracer_options)),
      sampler(SamplerOf(options)),
      baggage(BaggageOf(options)),
      detects_context_loss(options.detect_context_loss.value_or(kDebugBuild)),
      environment(EnvironmentOf(options, redactor, /*promoted=*/false)),
      promoted_environment(EnvironmentOf(options, std::move(redactor), /*promoted=*/true)) {
  // Before anything is held.
  const double rate = options.sampling_rate.value_or(1.0);
  // Ids of a generator decide themselves, if there is anything to decide.
  if (!options.ids) rules = dynamic_cast<const internal::SamplingRules*>(sampler.get());
  if (!sampler && (!options.ids || rate == 0)) root_lot = internal::RootLot::Of(rate);
  if (options.exporters.empty()) return;
  if (detects_context_loss) internal::DetectContextLoss();
  const bool may_leave_out = sampler != nullptr || rate < 1.0;
  if (options.error_promotion && may_leave_out) {
    held = std::make_unique<internal::PromotionBuffer>(options.promotion_buffer_bytes);
  }
  open_runs = std::make_shared<internal::OpenRuns>(options.open_run_delay, options.clock);
  open_runs->Start();
}

bool Tracer::Impl::MaySample() const noexcept {
  return sampler != nullptr || options.sampling_rate.value_or(1.0) > 0.0;
}

bool Tracer::Impl::MaySample(const RunId& trace_id) const noexcept {
  return sampler != nullptr || !options.sampling_rate ||
         SampledByTraceId(trace_id, *options.sampling_rate);
}

void Tracer::Impl::Send(RunRecord&& record) noexcept {
  if (options.hide_inputs) record.inputs.clear();
  if (options.hide_outputs && record.outputs) record.outputs->clear();
  if (options.hide_metadata) record.metadata.clear();
  const auto& exporters = options.exporters;
  for (std::size_t i = 0; i + 1 < exporters.size(); ++i) Give(*exporters[i], RunRecord(record));
  if (!exporters.empty()) Give(*exporters.back(), std::move(record));
}

void Tracer::Impl::SendPromoted(RunRecord&& record) noexcept {
  const bool first = record.operation == RunRecord::Operation::kPost;
  if (first) promoted.fetch_add(1, std::memory_order_relaxed);
  record.environment = promoted_environment;
  record.keep = true;
  Send(std::move(record));
}

void Tracer::Impl::Promote(internal::HeldTrace& trace) noexcept {
  held->Promote(trace).TakeAll(
      [this](internal::HeldRun&& run) { SendPromoted(std::move(run).Restore()); });
  for (const auto& run : held->TakeOpen(trace)) open_runs->TakeOver(*run);
}

void Tracer::Impl::Give(Exporter& exporter, RunRecord&& record) const noexcept {
  const bool finished = record.payload == nullptr && environment->redactor == nullptr;
  if (!finished && !exporter.finishes_records()) FinishRecord(record);
  exporter.Export(std::move(record));
}

Tracer::Tracer(TracerOptions options, std::shared_ptr<const internal::Redactor> redactor)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(redactor))) {}

Tracer::~Tracer() {
  if (impl_->fork_mark.IsInChild()) {
    // Its threads exist only in the parent: nothing here can be joined or destroyed.
    static_cast<void>(impl_.release());
    return;
  }
  Shutdown(kShutdownTimeout);
}

absl::StatusOr<std::shared_ptr<Tracer>> Tracer::Create(TracerOptions options) {
  if (options.sampling_rate && !(*options.sampling_rate >= 0 && *options.sampling_rate <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sampling_rate: ", *options.sampling_rate, " is not between 0 and 1"));
  }
  for (std::size_t i = 0; i < options.sampling_rules.size(); ++i) {
    const double rate = options.sampling_rules[i].rate;
    if (rate >= 0 && rate <= 1) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("sampling_rules[", i, "].rate: ", rate, " is not between 0 and 1"));
  }
  if (options.address && !NormalizeAgentAddress(*options.address)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "address: \"", *options.address, "\" is not lrn:agents/<id>/environments/<environment>"));
  }
  if (options.project.empty()) return absl::InvalidArgumentError("project: \"\" is empty");
  if (options.open_run_delay < std::chrono::milliseconds::zero()) {
    return absl::InvalidArgumentError(
        absl::StrCat("open_run_delay: ", options.open_run_delay.count(), " ms is negative"));
  }
  for (const auto& exporter : options.exporters) {
    if (!exporter) return absl::InvalidArgumentError("exporters: one is null");
  }
  std::shared_ptr<const internal::Redactor> redactor;
  if (!options.redaction.empty()) {
    auto made = internal::Redactor::Create(options.redaction);
    if (!made.ok()) return made.status();
    redactor = *std::move(made);
  }
  return std::shared_ptr<Tracer>(new Tracer(std::move(options), std::move(redactor)));
}

bool Tracer::enabled() const noexcept {
  if (!impl_->options.enabled) return false;
  if (!impl_->fork_mark.IsInChild()) [[likely]]
    return true;
  SayForkedOnce();
  return false;
}

const TracerOptions& Tracer::options() const noexcept { return impl_->options; }

bool Tracer::Flush(steady_clock::duration timeout) noexcept {
  if (impl_->fork_mark.IsInChild()) return false;
  const auto deadline = After(timeout);
  BeginFlush(impl_->options.exporters);
  bool done = true;
  for (const auto& exporter : impl_->options.exporters) {
    done = exporter->Flush(Left(deadline)) && done;
  }
  return done;
}

bool Tracer::Shutdown(steady_clock::duration timeout) noexcept {
  if (impl_->fork_mark.IsInChild()) return false;
  const auto deadline = After(timeout);
  if (impl_->open_runs) {
    impl_->open_runs->SendAll();
    impl_->open_runs->Stop();
  }
  BeginFlush(impl_->options.exporters);
  bool done = true;
  for (const auto& exporter : impl_->options.exporters) {
    done = exporter->Shutdown(Left(deadline)) && done;
  }
  return done;
}

TracerStats Tracer::Stats() const noexcept {
  TracerStats stats;
  const std::uint64_t unheld = impl_->sampled_out.load(std::memory_order_relaxed);
  stats.created = impl_->created.load(std::memory_order_relaxed) + unheld;
  stats.sampled_out = impl_->sampled_out_open.load(std::memory_order_relaxed) + unheld;
  stats.ended = impl_->ended.load(std::memory_order_relaxed);
  if (impl_->open_runs) {
    const internal::OpenRuns::Counts counts = impl_->open_runs->counts();
    stats.created += counts.added;
    stats.ended += counts.removed;
  }
  stats.setter_after_end = impl_->setter_after_end.load(std::memory_order_relaxed);
  stats.context_lost = impl_->context_lost.load(std::memory_order_relaxed);
  stats.promoted = impl_->promoted.load(std::memory_order_relaxed);
  stats.keeps_received = impl_->keeps_received.load(std::memory_order_relaxed);
  stats.keeps_ignored = impl_->keeps_ignored.load(std::memory_order_relaxed);
  stats.keeps_limited = impl_->keeps_limited.load(std::memory_order_relaxed);
  if (impl_->held) {
    const internal::PromotionBuffer::Counts counts = impl_->held->counts();
    stats.created += counts.joined;
    stats.sampled_out += counts.joined;
    stats.ended += counts.left;
    stats.promoted_traces = counts.promoted;
    stats.held_evicted = counts.evicted;
    stats.held_bytes = counts.bytes;
  }
  if (const auto& redactor = impl_->environment->redactor) stats.redacted = redactor->Counts();
  for (const auto& exporter : impl_->options.exporters) {
    stats.exporters.push_back(exporter->Stats());
  }
  return stats;
}

namespace {

/// For a lock that every root takes, and nobody holds for longer than it takes to copy a pointer.
class SpinLock {
 public:
  void lock() noexcept {
    while (locked_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

struct Global {
  std::atomic<bool> set{false};
  std::atomic<bool> enabled{false};
  SpinLock mutex;
  std::shared_ptr<Tracer> tracer;

  std::shared_ptr<Tracer> Share() noexcept {
    const std::lock_guard lock(mutex);
    return tracer;
  }
};

// Never destroyed: runs may end while statics are.
union Immortal {
  constexpr Immortal() noexcept : global() {}
  ~Immortal() {}
  Global global;
};
constinit Immortal immortal;

Global& TheGlobal() noexcept { return immortal.global; }

void ShutdownGlobalAtExit() {
  if (const std::shared_ptr<Tracer> tracer = GlobalTracer()) tracer->Shutdown(kShutdownTimeout);
}

}  // namespace

std::shared_ptr<Tracer> GlobalTracer() noexcept {
  Global& global = TheGlobal();
  return global.set.load(std::memory_order_acquire) ? global.Share() : nullptr;
}

bool internal::HasEnabledGlobalTracer() noexcept {
  return TheGlobal().enabled.load(std::memory_order_acquire);
}

std::shared_ptr<Tracer> internal::EnabledGlobalTracer() noexcept {
  return HasEnabledGlobalTracer() ? TheGlobal().Share() : nullptr;
}

void SetGlobalTracer(std::shared_ptr<Tracer> tracer) noexcept {
  static const int kRegistered = std::atexit(ShutdownGlobalAtExit);
  static_cast<void>(kRegistered);
  Global& global = TheGlobal();
  const std::lock_guard lock(global.mutex);
  global.set.store(tracer != nullptr, std::memory_order_release);
  global.enabled.store(tracer != nullptr && tracer->options().enabled, std::memory_order_release);
  global.tracer.swap(tracer);
}

}  // namespace v0
}  // namespace weft
