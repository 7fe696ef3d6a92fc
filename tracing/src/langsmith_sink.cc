// SPDX-License-Identifier: Apache-2.0
#include "langsmith_sink.h"

#include <utility>
#include <vector>

#include "spill.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr char kFormPath[] = "runs/multipart";

Replica ReplicaOf(const LangSmithExporterOptions& options) {
  return Replica(options.project, options.primary);
}

/// Runs as one request; false: it cannot be written down.
bool WriteDown(FailedTraces& failed, LangSmithWriter& writer, BatchSink::Runs runs, bool compress) {
  FormData form = writer.Form(runs, false);
  FailedTrace trace{.path = kFormPath, .type = form.content_type(), .coding = {}, .body = {}};
  trace.body = std::move(form).Finish();
  if (compress) {
    trace.body = CompressZstd(trace.body);
    trace.coding = "zstd";
  }
  return failed.Write(trace);
}

}  // namespace

std::shared_ptr<LangSmithClient> MakeClient(const LangSmithExporterOptions& options) {
  std::vector<std::string> headers;
  if (!options.workspace_id.empty()) headers.push_back("X-Tenant-Id: " + options.workspace_id);
  return std::make_shared<LangSmithClient>(options.endpoint, std::move(headers));
}

LangSmithSink::LangSmithSink(const LangSmithExporterOptions& options,
                             std::shared_ptr<LangSmithClient> client,
                             std::shared_ptr<FailedTraces> failed)
    : api_key_(options.api_key),
      compress_(options.compress),
      client_(std::move(client)),
      writer_(ReplicaOf(options)),
      failed_(std::move(failed)) {}

SendResult LangSmithSink::Send(const Batch& batch, const std::atomic<bool>& abort) {
  LangSmithInfo info = client_->Info(api_key_, abort);
  info.zstd = info.zstd && compress_;
  max_runs_ = info.max_runs;
  if (batch.runs.size() > max_runs_) return {.verdict = Verdict::kTooLarge, .code = "size_limit"};
  if (client_->TakesForms(info)) {
    FormData form = writer_.Form(batch.runs, batch.shorten);
    if (batch.runs.size() > 1 && form.size() > info.max_bytes) {
      return {.verdict = Verdict::kTooLarge, .code = "size_limit_bytes"};
    }
    SendResult result = client_->SendForm(std::move(form), info, api_key_, abort);
    if (result.code != "404") return result;
    client_->StopForms();
  }
  const std::string body = writer_.Batch(batch.runs, batch.shorten);
  return client_->Send("POST", "/runs/batch", "application/json", "", body, api_key_, abort);
}

bool LangSmithSink::Keep(Runs runs) {
  return failed_ != nullptr &&
         WriteDown(*failed_, writer_, runs, compress_ && client_->last_info().zstd);
}

std::optional<SendResult> LangSmithSink::Idle(const std::atomic<bool>& abort) {
  if (failed_ == nullptr) return std::nullopt;
  return SendKept(*failed_, "LangSmith", [&](const FailedTrace& trace) {
    return client_->Send("POST", "/" + trace.path, trace.type, trace.coding, trace.body, api_key_,
                         abort);
  });
}

LangSmithKeeper::LangSmithKeeper(const LangSmithExporterOptions& options,
                                 std::shared_ptr<LangSmithClient> client,
                                 std::shared_ptr<FailedTraces> failed)
    : compress_(options.compress),
      client_(std::move(client)),
      writer_(ReplicaOf(options)),
      failed_(std::move(failed)) {}

bool LangSmithKeeper::Keep(BatchSink::Runs runs) {
  return WriteDown(*failed_, writer_, runs, compress_ && client_->last_info().zstd);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
