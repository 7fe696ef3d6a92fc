// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/collector_exporter.h>

#include <algorithm>
#include <thread>
#include <utility>

#include <absl/status/status.h>
#include <grpcpp/security/credentials.h>

#include "collector_sender.h"
#include "export_channel.h"
#include "export_queue.h"
#include "fork.h"
#include "sender_wait.h"
#include "spill.h"

namespace weft {
inline namespace v0 {
namespace {

using std::chrono::steady_clock;

// How long a stream that has nothing unanswered may take to end in good order.
constexpr std::chrono::milliseconds kGoodbye{200};

steady_clock::time_point After(steady_clock::duration timeout) noexcept {
  // So that duration::max() means no limit instead of an overflow.
  return steady_clock::now() + std::min<steady_clock::duration>(timeout, std::chrono::hours(24));
}

std::shared_ptr<grpc::Channel> MakeChannel(const CollectorExporterOptions& options) {
  return internal::MakeExportChannel(options.target, options.credentials
                                                         ? options.credentials
                                                         : grpc::InsecureChannelCredentials());
}

internal::BatchExporterOptions BatchOptionsOf(const CollectorExporterOptions& options) {
  return {.destination = "the collector " + options.target,
          .queue_bytes = options.queue_bytes,
          .batch_runs = options.batch_runs,
          .batch_bytes = options.batch_bytes,
          .flush_interval = options.flush_interval,
          .retry_for = options.retry_for};
}

}  // namespace

class CollectorExporter::Impl {
 public:
  Impl(const CollectorExporterOptions& options,
       const std::shared_ptr<internal::FailedTraces>& failed)
      : queue_({.bytes = options.queue_bytes,
                .batch_runs = options.batch_runs,
                .batch_bytes = options.batch_bytes},
               [this] { wait_.Wake(); }),
        sender_(options, MakeChannel(options), &queue_, &wait_, failed),
        thread_([this] { sender_.Loop(); }) {
    if (failed == nullptr) return;
    spill_ = std::make_unique<internal::SpillQueue>(
        BatchOptionsOf(options), options.spill_dir, [failed](internal::BatchSink::Runs runs) {
          internal::RunBatchWriter writer;
          for (const RunRecord* run : runs) writer.Append(*run);
          return internal::KeepBatch(*failed, writer.Take());
        });
  }

  ~Impl() { Stop(steady_clock::now()); }

  bool InChild() const noexcept { return fork_mark_.IsInChild(); }

  void Export(RunRecord&& record) noexcept {
    if (!spill_) return queue_.Push(std::move(record));
    if (!queue_.TryPush(record)) spill_->Export(std::move(record));
  }

  bool Flush(steady_clock::time_point deadline) noexcept {
    const bool delivered = queue_.Flush(deadline);
    return (!spill_ || spill_->Flush(deadline - steady_clock::now())) && delivered;
  }

  bool Shutdown(steady_clock::time_point deadline) noexcept {
    const bool delivered = queue_.Flush(deadline);
    Stop(deadline);
    return (!spill_ || spill_->Shutdown(deadline - steady_clock::now())) && delivered;
  }

  ExporterStats Stats() const noexcept {
    ExporterStats stats = queue_.Stats();
    if (spill_) spill_->AddTo(stats);
    return stats;
  }

  void Stop(steady_clock::time_point deadline) {
    queue_.Stop(std::min(deadline, steady_clock::now() + kGoodbye));
    const std::lock_guard lock(stop_mutex_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  const internal::ForkMark fork_mark_;
  internal::SenderWait wait_;
  internal::ExportQueue queue_;
  internal::CollectorSender sender_;
  std::mutex stop_mutex_;
  std::thread thread_;
  std::unique_ptr<internal::SpillQueue> spill_;  // Null without a folder.
};

CollectorExporter::CollectorExporter(std::unique_ptr<Impl> impl) noexcept
    : impl_(std::move(impl)) {}

CollectorExporter::~CollectorExporter() {
  // The thread and gRPC's state exist only in the parent: nothing can be joined or destroyed here.
  if (impl_->InChild()) static_cast<void>(impl_.release());
}

absl::StatusOr<std::shared_ptr<CollectorExporter>> CollectorExporter::Create(
    CollectorExporterOptions options) {
  if (options.target.empty()) return absl::InvalidArgumentError("target: \"\" is empty");
  // gRPC ends the process for a metadata value that is not printable.
  if (!std::all_of(options.api_key.begin(), options.api_key.end(),
                   [](char c) { return c > 0x20 && c < 0x7f; })) {
    return absl::InvalidArgumentError("api_key: holds a character that is not printable ASCII");
  }
  const absl::Status status = internal::CheckBatchOptions(BatchOptionsOf(options));
  if (!status.ok()) return status;
  auto failed = internal::OpenSpill(
      options.spill_dir, options.spill_bytes,
      {.name = "collector " + options.target, .paths = {internal::kKeptBatchPath}});
  if (!failed.ok()) return failed.status();
  return std::shared_ptr<CollectorExporter>(
      new CollectorExporter(std::make_unique<Impl>(options, *failed)));
}

void CollectorExporter::Export(RunRecord&& record) noexcept {
  if (!impl_->InChild()) impl_->Export(std::move(record));
}

bool CollectorExporter::Flush(steady_clock::duration timeout) noexcept {
  return !impl_->InChild() && impl_->Flush(After(timeout));
}

bool CollectorExporter::Shutdown(steady_clock::duration timeout) noexcept {
  return !impl_->InChild() && impl_->Shutdown(After(timeout));
}

ExporterStats CollectorExporter::Stats() const noexcept {
  return impl_->InChild() ? ExporterStats{} : impl_->Stats();
}

}  // namespace v0
}  // namespace weft
