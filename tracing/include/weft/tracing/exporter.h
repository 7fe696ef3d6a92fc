// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {

/// What became of the runs that an exporter was given.
/// `queued` = `acknowledged` + `spilled` + the three `dropped_...` + `pending` at any moment.
struct ExporterStats {
  std::uint64_t queued = 0;        ///< Given to Export.
  std::uint64_t sent = 0;          ///< Put on the wire at least once.
  std::uint64_t acknowledged = 0;  ///< The receiver has them for good.
  std::uint64_t dropped_queue_full = 0;
  std::uint64_t dropped_rejected = 0;  ///< The receiver said they are invalid.
  std::uint64_t dropped_expired = 0;   ///< Retried for too long, or left over at shutdown.
  std::uint64_t pending = 0;
  std::uint64_t spilled = 0;  ///< Left on disk, to be sent later.

  std::uint64_t dropped() const noexcept {
    return dropped_queue_full + dropped_rejected + dropped_expired;
  }
};

/// Renders what a record has only promised (RunRecord::payload) and redacts it. Nothing of a record
/// may leave the process before. A second call does nothing.
void FinishRecord(RunRecord& record) noexcept;

/// Takes finished (and long-running) runs somewhere.
///
/// Threads: every method may be called from any thread at any time.
/// Errors: none reach the caller; what cannot be delivered is dropped and counted.
class Exporter {
 public:
  Exporter() = default;
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  virtual ~Exporter() = default;

  /// Takes a run. Never blocks, does no I/O; a full queue drops the run and counts it.
  virtual void Export(RunRecord&& record) noexcept = 0;

  /// Waits until everything that was taken before is acknowledged or dropped. False: not in time.
  virtual bool Flush(std::chrono::steady_clock::duration timeout) noexcept = 0;

  /// Flush, then stop for good: what is left, and what comes later, is dropped. Idempotent.
  virtual bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept = 0;

  virtual ExporterStats Stats() const noexcept = 0;

  /// True: this exporter calls FinishRecord itself, on the thread that sends. Else that is done for
  /// it on the thread that ends the run.
  virtual bool finishes_records() const noexcept { return false; }

  /// True: who gets the runs knows them by the ids of `traceparent`, so calls carry it, too.
  virtual bool speaks_opentelemetry() const noexcept { return false; }
};

}  // namespace v0
}  // namespace weft
