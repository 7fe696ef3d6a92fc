// SPDX-License-Identifier: Apache-2.0
#include "destinations/file_sink.h"

#include <mutex>
#include <utility>
#include <vector>

#include "destinations/run_json.h"
#include "line_file.h"

namespace weft::collector {
namespace {

class FileSink final : public Sink {
 public:
  explicit FileSink(LineFile file) : file_(std::move(file)) {}

  SendResult Send(std::span<const OutgoingOp> ops, std::string_view,
                  const std::atomic<bool>&) override {
    std::string lines;
    for (const OutgoingOp& op : ops) (lines += OperationLine(op)) += '\n';
    std::lock_guard lock(mutex_);
    const absl::Status status = file_.Append(lines);
    if (status.ok()) return {};
    return {Verdict::kRetry, "file", std::string(status.message()), std::nullopt, true};
  }

  absl::Status Flush() override {
    std::lock_guard lock(mutex_);
    while (!rotated_.empty()) {
      if (absl::Status status = rotated_.back().Sync(); !status.ok()) return status;
      rotated_.pop_back();
    }
    return file_.Sync();
  }

  // One sync makes a whole batch last, so they are large.
  BatchLimits Limits() override { return {4096, 16ull << 20}; }
  std::size_t concurrency() const override { return 1; }
  bool uses_keys() const override { return false; }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) override {
    // Held, for it may be the same file with half a line in it just now.
    std::lock_guard lock(mutex_);
    absl::StatusOr<LineFile> opened = LineFile::Open(config.target);
    if (!opened.ok()) return opened.status();
    auto file = std::make_shared<LineFile>(*std::move(opened));
    return [this, file] {
      std::lock_guard commit_lock(mutex_);
      if (!file->Measure().ok()) return;
      rotated_.push_back(std::exchange(file_, std::move(*file)));
    };
  }

 private:
  std::mutex mutex_;
  LineFile file_;
  std::vector<LineFile> rotated_;  ///< Not synced yet.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Sink>> MakeFileSink(const DestinationConfig& config) {
  absl::StatusOr<LineFile> file = LineFile::Open(config.target);
  if (!file.ok()) return file.status();
  return std::make_unique<FileSink>(*std::move(file));
}

}  // namespace weft::collector
