// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/langsmith_exporter.h>

#include <algorithm>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "base_url.h"
#include "batch_exporter.h"
#include "failed_traces.h"
#include "langsmith_sink.h"
#include "spill.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::BatchExporter;
using internal::BatchExporterOptions;
using internal::FailedTraces;
using std::chrono::steady_clock;

BatchExporterOptions BatchOptions(const LangSmithExporterOptions& options) {
  return {.destination = "LangSmith at " + options.endpoint,
          .queue_bytes = options.queue_bytes,
          .batch_runs = options.batch_runs,
          .batch_bytes = options.batch_bytes,
          .flush_interval = options.flush_interval,
          .retry_for = options.retry_for};
}

/// Files of the folder say for whom they are: exporters that share it do not mix them up.
FailedTraces::Target TargetOf(const LangSmithExporterOptions& options) {
  FailedTraces::Target target{.name = options.endpoint, .takes_unmarked = true};
  if (!options.workspace_id.empty()) target.name += " workspace " + options.workspace_id;
  if (!options.project.empty()) target.name += " project " + options.project;
  target.takes_unmarked = options.project.empty() && options.primary.value_or(true);
  return target;
}

absl::Status Check(const LangSmithExporterOptions& options) {
  if (!internal::IsBaseUrl(options.endpoint)) {
    return absl::InvalidArgumentError(absl::StrCat("endpoint: \"",
                                                   internal::ShownUrl(options.endpoint),
                                                   "\" is not http(s)://HOST[:PORT][/PATH]"));
  }
  if (!internal::IsHeaderToken(options.api_key)) {
    return absl::InvalidArgumentError("api_key: holds a character that is not printable ASCII");
  }
  if (!internal::IsHeaderToken(options.workspace_id)) {
    return absl::InvalidArgumentError(
        "workspace_id: holds a character that is not printable ASCII");
  }
  return internal::CheckBatchOptions(BatchOptions(options));
}

}  // namespace

class LangSmithExporter::Impl {
 public:
  Impl(const LangSmithExporterOptions& options, std::shared_ptr<FailedTraces> failed)
      : Impl(options, failed, internal::MakeClient(options)) {}

  void Export(RunRecord&& record) noexcept {
    if (!spill_) return sender_.Export(std::move(record));
    if (!sender_.TryExport(record)) spill_->Export(std::move(record));
  }

  bool Flush(steady_clock::duration timeout) noexcept {
    const auto start = steady_clock::now();
    const bool sent = sender_.Flush(timeout);
    return (!spill_ || spill_->Flush(timeout - (steady_clock::now() - start))) && sent;
  }

  bool Shutdown(steady_clock::duration timeout) noexcept {
    const auto start = steady_clock::now();
    const bool sent = sender_.Shutdown(timeout);
    return (!spill_ || spill_->Shutdown(timeout - (steady_clock::now() - start))) && sent;
  }

  ExporterStats Stats() const noexcept {
    ExporterStats stats = sender_.Stats();
    if (spill_) spill_->AddTo(stats);
    return stats;
  }

 private:
  Impl(const LangSmithExporterOptions& options, const std::shared_ptr<FailedTraces>& failed,
       const std::shared_ptr<internal::LangSmithClient>& client)
      : sender_(BatchOptions(options),
                std::make_unique<internal::LangSmithSink>(options, client, failed)) {
    if (failed == nullptr) return;
    spill_ = std::make_unique<internal::SpillQueue>(
        BatchOptions(options), options.spill_dir,
        [keeper = std::make_shared<internal::LangSmithKeeper>(options, client, failed)](
            internal::BatchSink::Runs runs) { return keeper->Keep(runs); });
  }

  BatchExporter sender_;
  std::unique_ptr<internal::SpillQueue> spill_;  ///< Null without a folder.
};

LangSmithExporter::LangSmithExporter(std::unique_ptr<Impl> impl) noexcept
    : impl_(std::move(impl)) {}

LangSmithExporter::~LangSmithExporter() = default;

absl::StatusOr<std::shared_ptr<LangSmithExporter>> LangSmithExporter::Create(
    LangSmithExporterOptions options) {
  options.endpoint = std::string(internal::TrimBaseUrl(options.endpoint));
  if (absl::Status status = Check(options); !status.ok()) return status;
  auto failed = internal::OpenSpill(options.spill_dir, options.spill_bytes, TargetOf(options));
  if (!failed.ok()) return failed.status();
  return std::shared_ptr<LangSmithExporter>(
      new LangSmithExporter(std::make_unique<Impl>(options, *std::move(failed))));
}

void LangSmithExporter::Export(RunRecord&& record) noexcept { impl_->Export(std::move(record)); }

bool LangSmithExporter::Flush(steady_clock::duration timeout) noexcept {
  return impl_->Flush(timeout);
}

bool LangSmithExporter::Shutdown(steady_clock::duration timeout) noexcept {
  return impl_->Shutdown(timeout);
}

ExporterStats LangSmithExporter::Stats() const noexcept { return impl_->Stats(); }

}  // namespace v0
}  // namespace weft
