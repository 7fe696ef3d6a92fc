// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/file_exporter.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>

#include "batch_exporter.h"
#include "json_writer.h"
#include "run_json.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::BatchExporter;
using internal::BatchExporterOptions;
using internal::SendResult;
using internal::Verdict;

class FileSink final : public internal::BatchSink {
 public:
  explicit FileSink(int fd) : fd_(fd) {}
  ~FileSink() override { ::close(fd_); }

  SendResult Send(const Batch& batch, const std::atomic<bool>&) override {
    lines_.clear();
    for (const RunRecord* run : batch.runs) AppendLine(*run);
    return Write();
  }

 private:
  void AppendLine(const RunRecord& run) {
    const bool patch = run.operation == RunRecord::Operation::kPatch;
    absl::StrAppend(&lines_, "{\"op\":\"", patch ? "patch" : "post", "\",\"run_id\":\"",
                    run.context.id().ToString(), "\",\"trace_id\":\"",
                    run.context.trace_id().ToString(), "\",\"received\":\"");
    internal::AppendIsoTime(lines_, std::chrono::system_clock::now());
    json_.Write(run);
    lines_ += "\",\"run\":";
    json_.AppendTo(lines_);
    AppendAttachments(run);
    lines_ += "}\n";
  }

  void AppendAttachments(const RunRecord& run) {
    if (run.attachments.empty()) return;
    lines_ += ",\"attachments\":[";
    for (const RunAttachment& attachment : run.attachments) {
      lines_ += "{\"name\":";
      internal::AppendJsonString(lines_, attachment.name);
      lines_ += ",\"mime_type\":";
      internal::AppendJsonString(lines_, attachment.mime_type);
      lines_ += ",\"base64\":\"";
      absl::StrAppend(&lines_, absl::Base64Escape(absl::string_view(attachment.content.data(),
                                                                    attachment.content.size())));
      lines_ += "\"},";
    }
    lines_.back() = ']';
  }

  SendResult Write() {
    std::string_view rest = lines_;
    while (!rest.empty()) {
      const ssize_t put = ::write(fd_, rest.data(), rest.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return Undo(lines_.size() - rest.size(), errno);
      rest.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
  }

  // What was written of the batch comes again: it must not be there twice, nor half a line.
  SendResult Undo(std::size_t written, int error) {
    struct stat info {};
    if (written > 0 && ::fstat(fd_, &info) == 0 && S_ISREG(info.st_mode)) {
      const off_t size = info.st_size - static_cast<off_t>(written);
      if (::ftruncate(fd_, size) != 0) error = errno;
    }
    return {.verdict = Verdict::kRetry,
            .code = "file",
            .reason = std::generic_category().message(error),
            .unreachable = true};
  }

  const int fd_;
  internal::RunJson json_;
  std::string lines_;
};

BatchExporterOptions BatchOptions(const FileExporterOptions& options) {
  return {.destination = "the file " + options.path.string(),
          .queue_bytes = options.queue_bytes,
          .batch_runs = options.batch_runs,
          .batch_bytes = options.batch_bytes,
          .flush_interval = options.flush_interval,
          .retry_for = options.retry_for};
}

}  // namespace

class FileExporter::Impl : public BatchExporter {
 public:
  using BatchExporter::BatchExporter;
};

FileExporter::FileExporter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
FileExporter::~FileExporter() = default;

absl::StatusOr<std::shared_ptr<FileExporter>> FileExporter::Create(FileExporterOptions options) {
  if (options.path.empty()) return absl::InvalidArgumentError("path: \"\" is empty");
  BatchExporterOptions batch = BatchOptions(options);
  if (absl::Status status = internal::CheckBatchOptions(batch); !status.ok()) return status;
  const int fd =
      ::open(options.path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("path: \"", options.path.string(), "\" cannot be opened"));
  }
  return std::shared_ptr<FileExporter>(
      new FileExporter(std::make_unique<Impl>(std::move(batch), std::make_unique<FileSink>(fd))));
}

void FileExporter::Export(RunRecord&& record) noexcept { impl_->Export(std::move(record)); }

bool FileExporter::Flush(std::chrono::steady_clock::duration timeout) noexcept {
  return impl_->Flush(timeout);
}

bool FileExporter::Shutdown(std::chrono::steady_clock::duration timeout) noexcept {
  return impl_->Shutdown(timeout);
}

ExporterStats FileExporter::Stats() const noexcept { return impl_->Stats(); }

}  // namespace v0
}  // namespace weft
