// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/exporter.h>
#include <weft/tracing/redaction.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/sampling.h>

namespace weft {
inline namespace v0 {

/// Where times come from; replaced in tests (weft/testing/manual_clock.h).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::system_clock::time_point Now() const noexcept = 0;     ///< Wall clock.
  virtual std::chrono::steady_clock::time_point Steady() const noexcept = 0;  ///< For durations.
};

/// Where ids come from; replaced in tests (weft/testing/seeded_ids.h).
class IdGenerator {
 public:
  virtual ~IdGenerator() = default;
  virtual RunId New(std::chrono::system_clock::time_point start) noexcept = 0;
};

struct TracerOptions {
  bool enabled = true;
  /// Project of runs whose parent names none.
  std::string project = "default";
  /// Agent address; replaces the project. See TraceBaggage::address.
  std::optional<std::string> address{};
  /// Share of traces that are sent, 0 ... 1, by LangSmith's hash of the trace id; absent = all.
  std::optional<double> sampling_rate{};
  /// Other rates for some traces; the first that fits counts, before `sampling_rate`.
  std::vector<SamplingRule> sampling_rules{};
  /// Decides instead of both.
  std::shared_ptr<const Sampler> sampler{};
  /// Keeps errors whatever the sample is: a run out of it is held back, in short form, and sent
  /// when one of its trace fails or is kept (Run::Keep); then the services around are told, and
  /// runs that come later are sent as they come. Off: neighbours are neither told nor believed.
  bool error_promotion = true;
  /// For the runs that are held back: over it the oldest trace is forgotten.
  std::size_t promotion_buffer_bytes = std::size_t{16} << 20;
  /// Marks runs that lost their parent: those that start without a context while a server of this
  /// process handles a call, and were not asked to be roots (kNoParent, Detached). Such a run has
  /// the metadata `weft_context_lost`, with `method` (what was handled then; it may be another call
  /// than the run's) and `source`, where the run was started. Absent: on where weft itself was
  /// built for debugging, without NDEBUG.
  std::optional<bool> detect_context_loss{};
  /// Becomes metadata `service.name` of every run.
  std::string service_name{};
  /// Sent as `{}` instead. Hidden metadata is not handed to descendants or headers either; what
  /// weft itself adds (service.name, process.pid, rpc.*) stays.
  bool hide_inputs = false;
  bool hide_outputs = false;
  bool hide_metadata = false;
  /// What else must not leave the process.
  RedactionOptions redaction{};
  /// A run still open after this is sent as it is, so that viewers see it; zero = at once.
  std::chrono::milliseconds open_run_delay{2000};
  /// What is sent at the end of such a run leaves the inputs out that were sent before.
  bool exclude_inputs_on_patch = true;
  std::vector<std::shared_ptr<Exporter>> exporters{};
  std::shared_ptr<const Clock> clock{};  ///< Null: the system's.
  std::shared_ptr<IdGenerator> ids{};    ///< Null: UUIDv7.
};

/// Counts since the tracer was made.
struct TracerStats {
  std::uint64_t created = 0;
  std::uint64_t sampled_out = 0;  ///< Of these, `promoted` were sent all the same.
  std::uint64_t promoted = 0;
  std::uint64_t promoted_traces = 0;  ///< How often a trace out of the sample was kept.
  std::uint64_t held_evicted = 0;     ///< Runs that were forgotten to make room for younger traces.
  std::size_t held_bytes = 0;         ///< Occupied by runs that are held back now.
  /// What peers said of traces that are to be kept: that was followed or known already, that came
  /// from one who is not trusted, and that was too much from one peer.
  std::uint64_t keeps_received = 0;
  std::uint64_t keeps_ignored = 0;
  std::uint64_t keeps_limited = 0;
  std::uint64_t ended = 0;
  std::uint64_t setter_after_end = 0;
  std::uint64_t context_lost = 0;  ///< See TracerOptions::detect_context_loss.
  /// What redaction found, by rule; `failed`: what was masked because it could not be redacted.
  /// Empty without redaction.
  std::map<std::string, std::uint64_t> redacted;
  std::vector<ExporterStats> exporters;  ///< In the order of TracerOptions::exporters.
};

/// Turns work into runs: configuration, sampling and exporters, made once and shared.
///
///     auto tracer = weft::Tracer::FromEnvironment();
///     if (!tracer.ok()) { std::cerr << tracer.status().message() << "\n"; return 2; }
///
/// Lifetime: runs hold the tracer; the last owner's destructor shuts it down (2 s at most). The
///   child of a fork has it disabled.
/// Threads: any. It has one thread of its own, that sends runs which stay open for long.
class Tracer : public std::enable_shared_from_this<Tracer> {
 public:
  /// Errors: InvalidArgument names the option and the value.
  static absl::StatusOr<std::shared_ptr<Tracer>> Create(TracerOptions options);

  /// Reads LANGSMITH_*, OTEL_* and WEFT_* variables (docs/environment.md). With tracing off it
  /// succeeds and costs nothing. Errors: InvalidArgument names the variable and the value.
  static absl::StatusOr<std::shared_ptr<Tracer>> FromEnvironment();

  ~Tracer();

  bool enabled() const noexcept;
  const TracerOptions& options() const noexcept;

  /// Waits until the runs that ended before are acknowledged or dropped. False: not in time.
  bool Flush(std::chrono::steady_clock::duration timeout) noexcept;
  /// Sends open runs as they are, flushes, and stops the exporters. Later runs are dropped.
  bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept;
  TracerStats Stats() const noexcept;

  struct Impl;
  Impl& impl() noexcept { return *impl_; }

 private:
  Tracer(TracerOptions options, std::shared_ptr<const internal::Redactor> redactor);
  std::unique_ptr<Impl> impl_;
};

/// The tracer used where none is given: what SetGlobalTracer was told, else null. It is shut down
/// (2 s at most) when the program exits.
std::shared_ptr<Tracer> GlobalTracer() noexcept;
void SetGlobalTracer(std::shared_ptr<Tracer> tracer) noexcept;

}  // namespace v0
}  // namespace weft
