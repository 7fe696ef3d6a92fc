// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/otlp_exporter.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include <weft/tracing/internal/otlp_request.h>
#include <weft/tracing/internal/otlp_transport.h>

#include "batch_exporter.h"
#include "fork.h"
#include "otlp_answer.h"
#include "otlp_held_runs.h"
#include "spill.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::FailedTraces;
using std::chrono::steady_clock;

// What is left of a span that alone was too large for the receiver.
constexpr std::size_t kShortenedBytes = std::size_t{64} << 10;

constexpr char kTracesPath[] = "v1/traces";

/// Puts runs into the folder, as the request that did not get through.
class Keeper {
 public:
  Keeper(const OtlpExporterOptions& options, std::shared_ptr<FailedTraces> failed)
      : max_span_bytes_(options.max_span_bytes),
        request_(options.resource),
        failed_(std::move(failed)) {}

  bool Keep(internal::BatchSink::Runs runs) {
    if (failed_ == nullptr) return false;
    for (const RunRecord* run : runs) request_.Add(*run, max_span_bytes_);
    return failed_->Write({.path = kTracesPath,
                           .type = "application/x-protobuf",
                           .coding = {},
                           .body = request_.Take()});
  }
  FailedTraces* failed() const noexcept { return failed_.get(); }

 private:
  const std::size_t max_span_bytes_;
  internal::OtlpRequest request_;
  const std::shared_ptr<FailedTraces> failed_;
};

class OtlpSink final : public internal::BatchSink {
 public:
  OtlpSink(const OtlpExporterOptions& options, std::unique_ptr<internal::OtlpTransport> transport,
           std::shared_ptr<FailedTraces> failed)
      : max_span_bytes_(options.max_span_bytes),
        request_(options.resource),
        transport_(std::move(transport)),
        keeper_(options, std::move(failed)) {}

  internal::SendResult Send(const Batch& batch, const std::atomic<bool>& abort) override {
    const std::size_t most =
        batch.shorten ? std::min(max_span_bytes_, kShortenedBytes) : max_span_bytes_;
    for (const RunRecord* run : batch.runs) request_.Add(*run, most);
    return transport_->Send(request_.Take(), batch.runs.size(), abort);
  }

  bool Keep(Runs runs) override { return keeper_.Keep(runs); }

  std::optional<internal::SendResult> Idle(const std::atomic<bool>& abort) override {
    if (keeper_.failed() == nullptr) return std::nullopt;
    return internal::SendKept(*keeper_.failed(), "OTLP", [&](const internal::FailedTrace& trace) {
      internal::SendResult result = transport_->Send(trace.body, 1, abort);
      // For reasons that are not in the request: it stays where it is until the next start.
      const bool accepted = result.rejected == 0 || result.code == internal::kPartialSuccess;
      if (result.verdict == internal::Verdict::kSent && !accepted) {
        result.verdict = internal::Verdict::kDenied;
      }
      return result;
    });
  }

 private:
  const std::size_t max_span_bytes_;
  internal::OtlpRequest request_;
  const std::unique_ptr<internal::OtlpTransport> transport_;
  Keeper keeper_;
};

/// Files of the folder say for whom they are, without a password.
FailedTraces::Target TargetOf(const OtlpExporterOptions& options) {
  const std::size_t user = options.endpoint.find('@');
  return {.name = "OTLP " + options.endpoint.substr(user == std::string::npos ? 0 : user + 1),
          .paths = {kTracesPath}};
}

bool IsPrintable(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

absl::Status CheckHeaders(const OtlpExporterOptions& options) {
  for (const auto& [name, value] : options.headers) {
    // gRPC ends the process for metadata that it cannot send.
    const bool grpcs_own = name.starts_with("grpc-") || name.ends_with("-bin");
    if (!internal::IsToken(name) || grpcs_own) {
      return absl::InvalidArgumentError(
          absl::StrCat("headers: \"", name, "\" is no name of a header"));
    }
    if (!IsPrintable(value)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "headers: the value of \"", name, "\" holds a character that is not printable ASCII"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const OtlpExporterOptions& options) {
  if (!IsPrintable(options.endpoint)) {
    return absl::InvalidArgumentError("endpoint: holds a character that is not printable ASCII");
  }
  if (options.timeout.count() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("timeout: ", options.timeout.count(), " ms is negative"));
  }
  if (options.max_open.count() <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_open: ", options.max_open.count(), " ms is not positive"));
  }
  if (options.max_span_bytes == 0) return absl::InvalidArgumentError("max_span_bytes: 0");
  if (options.client_certificate.empty() != options.client_key.empty()) {
    return absl::InvalidArgumentError(options.client_key.empty()
                                          ? absl::StrCat("client_certificate: \"",
                                                         options.client_certificate,
                                                         "\" needs client_key, too")
                                          : absl::StrCat("client_key: \"", options.client_key,
                                                         "\" needs client_certificate, too"));
  }
  return CheckHeaders(options);
}

internal::BatchExporterOptions BatchOptionsOf(const OtlpExporterOptions& options) {
  internal::BatchExporterOptions batch;
  const bool grpc = options.protocol == OtlpProtocol::kGrpc;
  batch.destination = grpc ? "OTLP over gRPC" : "OTLP over HTTP";
  const bool shown = !options.endpoint.empty() && options.endpoint.find('@') == std::string::npos;
  if (shown) batch.destination += " at " + options.endpoint;
  batch.queue_bytes = options.queue_bytes;
  batch.batch_runs = options.batch_runs;
  batch.batch_bytes = options.batch_bytes;
  batch.flush_interval = options.flush_interval;
  batch.retry_for = options.retry_for;
  return batch;
}

}  // namespace

class OtlpExporter::Impl {
 public:
  Impl(const OtlpExporterOptions& options, std::unique_ptr<internal::OtlpTransport> transport,
       const std::shared_ptr<FailedTraces>& failed)
      : held_(options.queue_bytes, options.max_open),
        batches_(BatchOptionsOf(options),
                 std::make_unique<OtlpSink>(options, std::move(transport), failed)) {
    if (failed == nullptr) return;
    spill_ = std::make_unique<internal::SpillQueue>(
        BatchOptionsOf(options), options.spill_dir,
        [keeper = std::make_shared<Keeper>(options, failed)](internal::BatchSink::Runs runs) {
          return keeper->Keep(runs);
        });
  }

  // The lock of what is held may be taken for ever there.
  bool InChild() const noexcept { return fork_mark_.IsInChild(); }

  void Export(RunRecord&& record) {
    if (!record.end) return ExportAll(held_.Hold(std::move(record), steady_clock::now()));
    if (record.operation == RunRecord::Operation::kPatch) held_.Complete(record);
    Queue(std::move(record));
  }

  void ExportUnfinished() { ExportAll(held_.TakeAll()); }

  bool Flush(steady_clock::duration timeout) noexcept {
    const auto start = steady_clock::now();
    const bool sent = batches_.Flush(timeout);
    return (!spill_ || spill_->Flush(timeout - (steady_clock::now() - start))) && sent;
  }

  bool Shutdown(steady_clock::duration timeout) noexcept {
    const auto start = steady_clock::now();
    const bool sent = batches_.Shutdown(timeout);
    return (!spill_ || spill_->Shutdown(timeout - (steady_clock::now() - start))) && sent;
  }

  ExporterStats Stats() const noexcept {
    ExporterStats stats = batches_.Stats();
    if (spill_) spill_->AddTo(stats);
    return stats;
  }

 private:
  void Queue(RunRecord&& record) {
    if (!spill_) return batches_.Export(std::move(record));
    if (!batches_.TryExport(record)) spill_->Export(std::move(record));
  }

  void ExportAll(std::vector<RunRecord> records) {
    for (RunRecord& record : records) Queue(std::move(record));
  }

  const internal::ForkMark fork_mark_;
  internal::HeldRuns held_;
  internal::BatchExporter batches_;
  std::unique_ptr<internal::SpillQueue> spill_;  // Null without a folder.
};

OtlpExporter::OtlpExporter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

OtlpExporter::~OtlpExporter() {
  // gRPC's state exists only in the parent: it cannot be destroyed here.
  if (impl_->InChild()) static_cast<void>(impl_.release());
}

absl::StatusOr<std::shared_ptr<OtlpExporter>> OtlpExporter::Create(OtlpExporterOptions options) {
  for (const absl::Status& status :
       {CheckOptions(options), internal::CheckBatchOptions(BatchOptionsOf(options))}) {
    if (!status.ok()) return status;
  }
  auto transport = options.protocol == OtlpProtocol::kGrpc ? internal::MakeOtlpGrpc(options)
                                                           : internal::MakeOtlpHttp(options);
  if (!transport.ok()) return transport.status();
  auto failed = internal::OpenSpill(options.spill_dir, options.spill_bytes, TargetOf(options));
  if (!failed.ok()) return failed.status();
  return std::shared_ptr<OtlpExporter>(
      new OtlpExporter(std::make_unique<Impl>(options, *std::move(transport), *failed)));
}

void OtlpExporter::Export(RunRecord&& record) noexcept {
  if (!impl_->InChild()) impl_->Export(std::move(record));
}

bool OtlpExporter::Flush(steady_clock::duration timeout) noexcept { return impl_->Flush(timeout); }

bool OtlpExporter::Shutdown(steady_clock::duration timeout) noexcept {
  if (impl_->InChild()) return false;
  impl_->ExportUnfinished();
  return impl_->Shutdown(timeout);
}

ExporterStats OtlpExporter::Stats() const noexcept { return impl_->Stats(); }

}  // namespace v0
}  // namespace weft
