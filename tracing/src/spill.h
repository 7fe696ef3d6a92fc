// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <absl/functional/function_ref.h>
#include <absl/status/statusor.h>

#include "batch_exporter.h"
#include "failed_traces.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// The folder of an exporter's options, ready for use; null: the options name none.
absl::StatusOr<std::shared_ptr<FailedTraces>> OpenSpill(const std::filesystem::path& folder,
                                                        std::uint64_t max_bytes,
                                                        FailedTraces::Target target);

/// Sends the oldest request of the folder again: a BatchSink's Idle. What the target refuses stays
/// in the folder, where a person may look at it, and is said to be for `destination`.
std::optional<SendResult> SendKept(FailedTraces& failed, std::string_view destination,
                                   absl::FunctionRef<SendResult(const FailedTrace&)> send);

/// What comes while an exporter's queue is full waits here for the disk.
///
/// Threads: any. It has a thread of its own.
class SpillQueue {
 public:
  using Duration = std::chrono::steady_clock::duration;
  /// Puts runs into the folder. False: it is full, or cannot be written.
  using Write = std::function<bool(BatchSink::Runs)>;

  /// `exporter`: the options of the exporter that is relieved.
  SpillQueue(BatchExporterOptions exporter, const std::filesystem::path& folder, Write write);

  void Export(RunRecord&& record) noexcept { batches_.Export(std::move(record)); }
  bool Flush(Duration timeout) noexcept { return batches_.Flush(timeout); }
  bool Shutdown(Duration timeout) noexcept { return batches_.Shutdown(timeout); }
  /// Adds what became of the runs here to what `stats` says of the others.
  void AddTo(ExporterStats& stats) const noexcept;

 private:
  BatchExporter batches_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
