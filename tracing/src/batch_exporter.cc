// SPDX-License-Identifier: Apache-2.0
#include "batch_exporter.h"

#include <algorithm>
#include <future>
#include <mutex>
#include <thread>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "batch_sender.h"
#include "export_queue.h"
#include "fork.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::steady_clock;

steady_clock::time_point After(steady_clock::duration timeout) noexcept {
  // So that duration::max() means no limit instead of an overflow.
  return steady_clock::now() + std::min<steady_clock::duration>(timeout, std::chrono::hours(24));
}

}  // namespace

class BatchExporter::Impl {
 public:
  Impl(const BatchExporterOptions& options, std::unique_ptr<BatchSink> sink)
      : queue_({.bytes = options.queue_bytes,
                .batch_runs = options.batch_runs,
                .batch_bytes = options.batch_bytes},
               [this] { bell_.Ring(); }),
        sender_(options, std::move(sink), &queue_, &bell_),
        thread_([this] {
          sender_.Loop();
          ended_.set_value();
        }) {}

  ~Impl() { Stop(steady_clock::now()); }

  bool InChild() const noexcept { return fork_mark_.IsInChild(); }
  ExportQueue& queue() noexcept { return queue_; }

  /// What the sink sends again may end before `deadline`: what the target took and nobody heard
  /// its answer to is sent once more at the next start.
  void Stop(steady_clock::time_point deadline) {
    queue_.Stop(steady_clock::now());
    has_ended_.wait_until(deadline);
    sender_.Abort();
    const std::lock_guard lock(stop_mutex_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  const ForkMark fork_mark_;
  Bell bell_;
  ExportQueue queue_;
  BatchSender sender_;
  std::promise<void> ended_;
  const std::shared_future<void> has_ended_ = ended_.get_future().share();
  std::mutex stop_mutex_;
  std::thread thread_;
};

BatchExporter::BatchExporter(BatchExporterOptions options, std::unique_ptr<BatchSink> sink)
    : impl_(std::make_unique<Impl>(options, std::move(sink))) {}

BatchExporter::~BatchExporter() {
  // The thread exists only in the parent: nothing can be joined or destroyed here.
  if (impl_->InChild()) static_cast<void>(impl_.release());
}

void BatchExporter::Export(RunRecord&& record) noexcept {
  if (!impl_->InChild()) impl_->queue().Push(std::move(record));
}

bool BatchExporter::TryExport(RunRecord& record) noexcept {
  return impl_->InChild() || impl_->queue().TryPush(record);
}

bool BatchExporter::Flush(Duration timeout) noexcept {
  return !impl_->InChild() && impl_->queue().Flush(After(timeout));
}

bool BatchExporter::Shutdown(Duration timeout) noexcept {
  if (impl_->InChild()) return false;
  const steady_clock::time_point deadline = After(timeout);
  const bool delivered = impl_->queue().Flush(deadline);
  impl_->Stop(deadline);
  return delivered;
}

ExporterStats BatchExporter::Stats() const noexcept {
  return impl_->InChild() ? ExporterStats{} : impl_->queue().Stats();
}

absl::Status CheckBatchOptions(const BatchExporterOptions& options) {
  if (options.queue_bytes == 0) return absl::InvalidArgumentError("queue_bytes: 0");
  if (options.batch_runs == 0) return absl::InvalidArgumentError("batch_runs: 0");
  if (options.batch_bytes == 0) return absl::InvalidArgumentError("batch_bytes: 0");
  if (options.flush_interval.count() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("flush_interval: ", options.flush_interval.count(), " ms is negative"));
  }
  if (options.retry_for.count() <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("retry_for: ", options.retry_for.count(), " ms is not positive"));
  }
  return absl::OkStatus();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
