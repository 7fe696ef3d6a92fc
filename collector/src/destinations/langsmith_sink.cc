// SPDX-License-Identifier: Apache-2.0
#include "destinations/langsmith_sink.h"

#include <algorithm>
#include <utility>

#include <weft/tracing/internal/langsmith_client.h>

#include "destinations/langsmith_body.h"
#include "destinations/run_json.h"

namespace weft::collector {
namespace {

using internal::LangSmithClient;
using internal::LangSmithInfo;

class LangSmithSink final : public Sink {
 public:
  explicit LangSmithSink(const DestinationConfig& config)
      : client_(config.target, {}, {.ca_file = config.ca_file}) {}

  SendResult Send(std::span<const OutgoingOp> ops, std::string_view api_key,
                  const std::atomic<bool>& abort) override {
    if (ops.size() == 1 && !HasBatchFields(ops[0])) return SendAlone(ops[0], api_key, abort);
    const LangSmithInfo info = client_.Info(api_key, abort);
    if (client_.TakesForms(info)) {
      SendResult result = client_.SendForm(MakeForm(ops), info, api_key, abort);
      if (result.code != "404") return result;
      client_.StopForms();
    }
    return SendBatch(ops, api_key, abort);
  }

  BatchLimits WholeLimits() override {
    const LangSmithInfo info = client_.last_info();
    if (!info.zstd || !client_.TakesForms(info)) return {0, 0};
    return {info.max_runs, info.max_bytes};
  }

  std::optional<SendResult> SendWhole(const Record& record, std::string_view api_key,
                                      const std::atomic<bool>& abort) override {
    const LangSmithInfo info = client_.Info(api_key, abort);
    if (!info.zstd || !client_.TakesForms(info)) return std::nullopt;
    SendResult result = client_.Send("POST", "/runs/multipart",
                                     "multipart/form-data; boundary=" + record.header.form_boundary,
                                     "zstd", record.payload, api_key, abort);
    // Send finds out what the target takes instead.
    if (result.code == "404" || result.code == "415") return std::nullopt;
    return result;
  }

  bool Probe(const std::atomic<bool>& abort) override { return client_.Probe(abort); }

  BatchLimits Limits() override {
    const LangSmithInfo info = client_.last_info();
    return {info.max_runs, info.max_bytes};
  }

  std::size_t concurrency() const override { return 0; }
  bool uses_keys() const override { return true; }
  bool MustTravelAlone(const OutgoingOp& op) const override { return !HasBatchFields(op); }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) override {
    return [this, ca_file = config.ca_file] { client_.Renew({.ca_file = ca_file}); };
  }

 private:
  static constexpr char kJson[] = "application/json";

  // What `/runs/batch` has no room for goes first where it has, or back to the caller to be parked.
  SendResult SendBatch(std::span<const OutgoingOp> ops, std::string_view api_key,
                       const std::atomic<bool>& abort) {
    if (!std::all_of(ops.begin(), ops.end(), CanBatch)) {
      if (ops.size() > 1) return {Verdict::kTooLarge, "404", "only without attachments", {}, false};
      if (ops[0].op->kind == OpKind::kFeedback) return SendAlone(ops[0], api_key, abort);
      return {
          Verdict::kRefused, "404", "the target takes no multipart, so no attachments", {}, false};
    }
    return client_.Send("POST", "/runs/batch", kJson, "", BatchBody(ops), api_key, abort);
  }

  SendResult SendAlone(const OutgoingOp& op, std::string_view api_key,
                       const std::atomic<bool>& abort) {
    std::string method = "POST";
    std::string path = "/runs";
    if (op.op->kind == OpKind::kFeedback) path = "/feedback";
    if (op.op->kind == OpKind::kPatch) {
      method = "PATCH";
      path += "/" + op.op->run_id.ToString();
    }
    SendResult result = client_.Send(method, path, kJson, "", RunObject(op), api_key, abort);
    // The path names the run: it is the run that is not known, and it will not come to be known.
    if (result.code == "404") result.verdict = Verdict::kRefused;
    return result;
  }

  LangSmithClient client_;
};

}  // namespace

std::unique_ptr<Sink> MakeLangSmithSink(const DestinationConfig& config) {
  return std::make_unique<LangSmithSink>(config);
}

}  // namespace weft::collector
