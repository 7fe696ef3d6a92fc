// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>

#include <absl/status/statusor.h>

#include <weft/tracing/exporter.h>

namespace weft {
inline namespace v0 {

struct FileExporterOptions {
  /// Appended to; made, readable by its owner only, if need be. May be a pipe or a terminal.
  std::filesystem::path path{};
  /// What unwritten runs may occupy, about; a run beyond it is dropped.
  std::size_t queue_bytes = std::size_t{64} << 20;
  /// Runs are written when there are so many, so many bytes, or when they are this old.
  std::size_t batch_runs = 500;
  std::size_t batch_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds flush_interval{200};
  /// A run that could not be written for so long is dropped.
  std::chrono::milliseconds retry_for{std::chrono::minutes(5)};
};

/// Appends runs to a file as lines of JSON, as the collector's file destination does
/// (docs/collector.md, "Files"):
///
///     {"op":"post","run_id":"...","trace_id":"...","received":"2026-11-22T03:04:05.000006Z",
///      "run":{"id":"...","name":"...","inputs":{...},...}}
///
///     auto exporter = weft::FileExporter::Create({.path = "/var/log/runs.jsonl"});
///     auto tracer = weft::Tracer::Create({.exporters = {exporter.value()}});
///
/// Attachments are a member `attachments`, in base64. One exporter at a time appends to a file, a
/// batch with one write. Lines are whole even when the disk is full. Nothing is synced to the disk.
///
/// Lifetime: the destructor stops at once; call Shutdown to write what is left. The child of a fork
///   drops everything.
/// Threads: any. It has one thread of its own, which has no current context.
class FileExporter final : public Exporter {
 public:
  /// Errors: InvalidArgument names the option and the value; the error of a file that cannot be
  /// opened.
  static absl::StatusOr<std::shared_ptr<FileExporter>> Create(FileExporterOptions options);

  ~FileExporter() override;

  void Export(RunRecord&& record) noexcept override;
  bool Flush(std::chrono::steady_clock::duration timeout) noexcept override;
  bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept override;
  ExporterStats Stats() const noexcept override;
  bool finishes_records() const noexcept override { return true; }

 private:
  class Impl;
  explicit FileExporter(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace weft
