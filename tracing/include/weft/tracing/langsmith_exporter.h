// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include <weft/tracing/exporter.h>

namespace weft {
inline namespace v0 {

struct LangSmithExporterOptions {
  /// Where the API answers; a path in it is kept: `https://host/api/v1`.
  std::string endpoint = "https://api.smith.langchain.com";
  /// Sent as `x-api-key`; empty: none.
  std::string api_key{};
  /// Sent as `X-Tenant-Id`, for keys of several workspaces; empty: none.
  std::string workspace_id{};
  /// For a copy of what goes elsewhere, too: the project that all runs go to. Empty: each to its
  /// own.
  std::string project{};
  /// Whether runs keep their ids. Absent: those that stay in their own project do, others get ids
  /// that follow from theirs and the project, the same in every process and in LangSmith's SDKs.
  std::optional<bool> primary{};
  /// zstd, where the target says that it takes it.
  bool compress = true;
  /// Where runs go that could not be delivered in time; they are sent when the target answers
  /// again, and by the next exporter with this folder. Made if need be. Empty: they are dropped.
  std::filesystem::path spill_dir{};
  /// What the folder may hold.
  std::uint64_t spill_bytes = std::uint64_t{100} << 20;
  /// What undelivered runs may occupy, about; a run beyond it goes to the folder or is dropped.
  std::size_t queue_bytes = std::size_t{64} << 20;
  /// A batch is sent when it has this many runs, this many bytes, or is this old.
  std::size_t batch_runs = 100;
  std::size_t batch_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds flush_interval{200};
  /// A run that could not be delivered for so long is given up.
  std::chrono::milliseconds retry_for{std::chrono::minutes(5)};
};

/// Sends runs to LangSmith over HTTP, without a collector.
///
///     auto exporter = weft::LangSmithExporter::Create({.api_key = key});
///     auto tracer = weft::Tracer::Create({.exporters = {exporter.value()}});
///
/// Several of them send to several places; none delays another. What fails is tried again: as
/// `Retry-After` says, else after 0.2 s, doubling to a minute. Of a batch that the target refuses
/// only the run that is wrong is dropped; a run that is too large is sent without its attachments
/// and with its largest fields cut. A key that is refused may come to be right: runs wait. What is
/// lost in the end is counted in Stats() and said on stderr, once a minute at most.
///
/// The folder has the format of `LANGSMITH_FAILED_TRACES_DIR` of LangSmith's SDKs: one request in a
/// file, without the key. Runs are redacted before.
///
/// Lifetime: the destructor stops at once; call Shutdown to deliver what is left. The child of a
///   fork drops everything.
/// Threads: any. It has one thread of its own (two with a folder), which has no current context.
/// Cost: Export takes a lock for as long as a record takes to move; JSON is made, compressed and
///   sent on the exporter's thread, which is woken once per batch.
class LangSmithExporter final : public Exporter {
 public:
  /// Errors: InvalidArgument names the option and the value; the error of a folder that cannot be
  /// made. A target that cannot be reached is none.
  static absl::StatusOr<std::shared_ptr<LangSmithExporter>> Create(
      LangSmithExporterOptions options);

  ~LangSmithExporter() override;

  void Export(RunRecord&& record) noexcept override;
  bool Flush(std::chrono::steady_clock::duration timeout) noexcept override;
  bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept override;
  ExporterStats Stats() const noexcept override;
  bool finishes_records() const noexcept override { return true; }

 private:
  class Impl;
  explicit LangSmithExporter(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace weft
