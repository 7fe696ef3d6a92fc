// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <absl/status/status.h>

#include <weft/tracing/exporter.h>
#include <weft/tracing/internal/delivery.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Where a BatchExporter's runs go.
///
/// Threads: only the exporter's, one call at a time.
class BatchSink {
 public:
  using Runs = std::span<const RunRecord* const>;

  BatchSink() = default;
  BatchSink(const BatchSink&) = delete;
  BatchSink& operator=(const BatchSink&) = delete;
  virtual ~BatchSink() = default;

  struct Batch {
    Runs runs;             ///< Finished (FinishRecord), in the order in which they were exported.
    bool shorten = false;  ///< The only run is too large: what can be left out of it should be.
  };

  /// Delivers a batch, or says why not. Blocks; `abort` breaks it off soon. What was not delivered
  /// comes again, perhaps in other batches.
  virtual SendResult Send(const Batch& batch, const std::atomic<bool>& abort) = 0;

  /// Keeps what could not be delivered in time for later. False: it is lost.
  virtual bool Keep(Runs /*runs*/) { return false; }

  /// One step of work for when no run waits: at the start, after Keep, and when the target answers
  /// again after an outage. The result (kSent or a failure) says when the next step is due;
  /// nothing: there is no more to do.
  virtual std::optional<SendResult> Idle(const std::atomic<bool>& /*abort*/) {
    return std::nullopt;
  }

  /// The largest batch that the target takes; asked before each.
  virtual std::size_t max_runs() const { return ~std::size_t{0}; }
};

struct BatchExporterOptions {
  /// Names the target in reports: `LangSmith at https://...`.
  std::string destination{};
  /// What undelivered runs may occupy, about; a run beyond it is dropped.
  std::size_t queue_bytes = std::size_t{64} << 20;
  /// A batch is sent when it has this many runs, this many bytes, or is this old.
  std::size_t batch_runs = 100;
  std::size_t batch_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds flush_interval{200};
  /// A run that could not be delivered for so long is kept by the sink, or dropped.
  std::chrono::milliseconds retry_for{std::chrono::minutes(5)};
  RetryPauses pauses{};
};

/// What exporters have in common whose target answers each batch by itself: the bounded queue, one
/// thread that makes batches and sends them, and what is done about every answer.
///
///     class Printer final : public BatchSink {
///       SendResult Send(const Batch& batch, const std::atomic<bool>&) override {
///         for (const RunRecord* run : batch.runs)
///         std::puts(std::string(run->DisplayName()).c_str()); return {};
///       }
///     };
///     BatchExporter exporter({.destination = "the terminal"}, std::make_unique<Printer>());
///
/// | verdict | what follows |
/// |---|---|
/// | kSent | acknowledged, but for `rejected` of them |
/// | kRetry, kDenied | the same again: after `Retry-After`, else 0.2 s doubling to 60 s with jitter
/// | | kTooLarge, kRefused | halves; a single run is shortened once if too large, then rejected |
///
/// A class that implements Exporter has one of these and hands every call on.
///
/// Lifetime: the destructor stops at once. The child of a fork drops everything.
/// Threads: any. Its own thread has no current context.
/// Cost: Export takes a lock for as long as a record takes to move; the thread is woken once per
///   batch.
class BatchExporter {
 public:
  using Duration = std::chrono::steady_clock::duration;

  BatchExporter(BatchExporterOptions options, std::unique_ptr<BatchSink> sink);
  ~BatchExporter();
  BatchExporter(const BatchExporter&) = delete;
  BatchExporter& operator=(const BatchExporter&) = delete;

  void Export(RunRecord&& record) noexcept;
  /// Leaves the record alone, and counts nothing, when the queue is full.
  bool TryExport(RunRecord& record) noexcept;
  bool Flush(Duration timeout) noexcept;
  bool Shutdown(Duration timeout) noexcept;
  ExporterStats Stats() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The first thing that is wrong with what options of exporters have in common, or OK.
absl::Status CheckBatchOptions(const BatchExporterOptions& options);

}  // namespace internal
}  // namespace v0
}  // namespace weft
