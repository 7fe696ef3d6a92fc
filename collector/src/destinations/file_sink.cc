// SPDX-License-Identifier: Apache-2.0
#include "destinations/file_sink.h"

#include <chrono>
#include <filesystem>
#include <mutex>
#include <utility>
#include <vector>

#include "destinations/run_json.h"
#include "line_file.h"

namespace weft::collector {
namespace {

class FileSink final : public Sink {
 public:
  FileSink(LineFile file, FileRotation rotation)
      : rotation_(rotation), file_(std::move(file)), begun_(Clock::now()) {}

  SendResult Send(std::span<const OutgoingOp> ops, std::string_view,
                  const std::atomic<bool>&) override {
    std::string lines;
    for (const OutgoingOp& op : ops) (lines += OperationLine(op)) += '\n';
    std::lock_guard lock(mutex_);
    absl::Status status = RotateIfDue(lines.size());
    if (status.ok()) status = file_.Append(lines);
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
  using Clock = std::chrono::steady_clock;

  // PATH becomes PATH.1, that PATH.2, and so on.
  absl::Status RotateIfDue(std::size_t bytes) {
    const bool full = rotation_.size != 0 && file_.size() + bytes > rotation_.size;
    const bool old = rotation_.age.count() != 0 && Clock::now() - begun_ >= rotation_.age;
    if (file_.size() == 0 || !(full || old)) return absl::OkStatus();
    const std::filesystem::path path = file_.path();
    const auto numbered = [&](std::uint64_t number) {
      return path.string() + "." + std::to_string(number);
    };
    std::error_code error;
    for (std::uint64_t number = rotation_.keep; number > 1; --number) {
      std::filesystem::rename(numbered(number - 1), numbered(number), error);
    }
    std::filesystem::rename(path, numbered(1), error);
    if (error) return FileError("cannot rename", path, error.value());
    absl::StatusOr<LineFile> fresh = LineFile::Open(path);
    if (!fresh.ok()) return fresh.status();
    rotated_.push_back(std::exchange(file_, *std::move(fresh)));
    begun_ = Clock::now();
    return absl::OkStatus();
  }

  const FileRotation rotation_;
  std::mutex mutex_;
  LineFile file_;
  Clock::time_point begun_;
  std::vector<LineFile> rotated_;  ///< Not synced yet.
};

}  // namespace

absl::StatusOr<std::unique_ptr<Sink>> MakeFileSink(const DestinationConfig& config) {
  absl::StatusOr<LineFile> file = LineFile::Open(config.target);
  if (!file.ok()) return file.status();
  return std::make_unique<FileSink>(*std::move(file), config.rotation);
}

}  // namespace weft::collector
