// SPDX-License-Identifier: Apache-2.0
#include "spill.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

#include "loss_report.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

class FolderSink final : public BatchSink {
 public:
  explicit FolderSink(SpillQueue::Write write) : write_(std::move(write)) {}

  SendResult Send(const Batch& batch, const std::atomic<bool>&) override {
    if (write_(batch.runs)) return {};
    return {
        .code = "folder", .reason = "full, or cannot be written", .rejected = batch.runs.size()};
  }
  bool Keep(Runs runs) override { return write_(runs); }

 private:
  const SpillQueue::Write write_;
};

BatchExporterOptions SpillOptions(BatchExporterOptions options,
                                  const std::filesystem::path& folder) {
  options.destination = "the folder " + folder.string();
  options.queue_bytes = std::max<std::size_t>(options.queue_bytes / 4, std::size_t{1} << 20);
  return options;
}

}  // namespace

absl::StatusOr<std::shared_ptr<FailedTraces>> OpenSpill(const std::filesystem::path& folder,
                                                        std::uint64_t max_bytes,
                                                        FailedTraces::Target target) {
  if (folder.empty()) return std::shared_ptr<FailedTraces>();
  auto failed = std::make_shared<FailedTraces>(folder, max_bytes, std::move(target));
  if (absl::Status status = failed->Prepare(); !status.ok()) return status;
  return failed;
}

std::optional<SendResult> SendKept(FailedTraces& failed, std::string_view destination,
                                   absl::FunctionRef<SendResult(const FailedTrace&)> send) {
  std::optional<FailedTraces::Claim> claim = failed.Next();
  if (!claim) return std::nullopt;
  SendResult result = send(claim->trace());
  switch (result.verdict) {
    case Verdict::kSent:
      claim->Remove();
      break;
    case Verdict::kRetry:
      // The path is not known, which is no reason to hold up anything else.
      if (result.code == "404") return std::nullopt;
      break;
    case Verdict::kDenied:
      return std::nullopt;
    case Verdict::kTooLarge:
    case Verdict::kRefused:
      std::fprintf(stderr, "weft: runs kept for %s are refused and stay on disk: %s\n",
                   std::string(destination).c_str(), OneLine(result.code, result.reason).c_str());
      claim->SetAside();
      result.verdict = Verdict::kSent;
      break;
  }
  return result;
}

SpillQueue::SpillQueue(BatchExporterOptions exporter, const std::filesystem::path& folder,
                       Write write)
    : batches_(SpillOptions(std::move(exporter), folder),
               std::make_unique<FolderSink>(std::move(write))) {}

void SpillQueue::AddTo(ExporterStats& stats) const noexcept {
  const ExporterStats spill = batches_.Stats();
  stats.queued += spill.queued;
  stats.pending += spill.pending;
  stats.spilled += spill.acknowledged + spill.spilled;
  stats.dropped_queue_full += spill.dropped_queue_full + spill.dropped_rejected;
  stats.dropped_expired += spill.dropped_expired;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
