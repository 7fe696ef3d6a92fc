// SPDX-License-Identifier: Apache-2.0
#include "destinations/langsmith_sink.h"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

#include <weft/tracing/internal/http_client.h>
#include <boost/json.hpp>

#include "destinations/langsmith_body.h"
#include "destinations/run_json.h"
#include "http/content_coding.h"

namespace weft::collector {
namespace {

using Clock = std::chrono::steady_clock;
using internal::HttpClient;
using internal::IncomingReply;
using internal::OutgoingRequest;
using std::chrono::milliseconds;

constexpr std::chrono::minutes kInfoLasts{10};
constexpr std::chrono::seconds kInfoRetry{30};
constexpr std::chrono::minutes kFallbackLasts{10};
constexpr milliseconds kInfoTimeout{5'000};
constexpr milliseconds kProbeTimeout{2'000};
constexpr std::size_t kMaxReasonBytes = 2'000;
constexpr BatchLimits kOwnLimits{100, 20ull << 20};

// What `/info` of the target says, as far as it matters here.
struct TargetInfo {
  BatchLimits limits = kOwnLimits;
  bool zstd = false;
  bool multipart = true;
};

TargetInfo ParseInfo(const std::string& body) {
  TargetInfo info;
  boost::system::error_code error;
  const boost::json::value parsed = boost::json::parse(body, error);
  if (error) return info;
  const auto number = [&parsed](const char* pointer, std::uint64_t fallback) {
    boost::system::error_code absent;
    const boost::json::value* const found = parsed.find_pointer(pointer, absent);
    if (found == nullptr || !found->is_int64() || found->get_int64() < 1) return fallback;
    return std::min(fallback, static_cast<std::uint64_t>(found->get_int64()));
  };
  const auto flag = [&parsed](const char* pointer, bool fallback) {
    boost::system::error_code absent;
    const boost::json::value* const found = parsed.find_pointer(pointer, absent);
    return found != nullptr && found->is_bool() ? found->get_bool() : fallback;
  };
  info.limits.operations = number("/batch_ingest_config/size_limit", kOwnLimits.operations);
  info.limits.bytes = number("/batch_ingest_config/size_limit_bytes", kOwnLimits.bytes);
  info.zstd = flag("/instance_flags/zstd_compression_enabled", false);
  info.multipart = flag("/batch_ingest_config/use_multipart_endpoint", true);
  return info;
}

bool IsRetryable(long status) {
  switch (status) {
    case 408:
    case 425:
    case 429:
    case 499:
      return true;
    default:
      // An answer that no version of the API gives is a proxy's or a wrong address: nothing may be
      // thrown away for it.
      return status < 200 || (status >= 300 && status < 400) || status == 404 || status == 405 ||
             status >= 500;
  }
}

bool IsWebPage(const IncomingReply& reply) { return reply.content_type.starts_with("text/html"); }

SendResult ResultOf(const IncomingReply& reply) {
  SendResult result;
  result.retry_after = reply.retry_after;
  if (reply.status == 0) {
    return {Verdict::kRetry, "connection", reply.error, std::nullopt, true};
  }
  result.code = std::to_string(reply.status);
  result.reason = reply.body.substr(0, kMaxReasonBytes);
  const bool success = (reply.status >= 200 && reply.status < 300) || reply.status == 409;
  if (success && !IsWebPage(reply)) return result;
  if (success) {
    result.verdict = Verdict::kRetry;
    result.reason = "the answer is a web page";
  } else if (IsRetryable(reply.status)) {
    result.verdict = Verdict::kRetry;
  } else if (reply.status == 413) {
    result.verdict = Verdict::kTooLarge;
  } else if (reply.status == 401 || reply.status == 403) {
    result.verdict = Verdict::kDenied;
  } else {
    result.verdict = Verdict::kRefused;
  }
  return result;
}

class LangSmithSink final : public Sink {
 public:
  explicit LangSmithSink(const DestinationConfig& config) : base_(config.target) {}

  SendResult Send(std::span<const OutgoingOp> ops, std::string_view api_key,
                  const std::atomic<bool>& abort) override {
    if (ops.size() == 1 && !HasBatchFields(ops[0])) return SendAlone(ops[0], api_key, abort);
    const TargetInfo info = Info(api_key, abort);
    if (info.multipart && !InFallback()) {
      SendResult result = SendMultipart(ops, info, api_key, abort);
      if (result.code != "404") return result;
      EnterFallback();
    }
    return SendBatch(ops, api_key, abort);
  }

  bool Probe(const std::atomic<bool>& abort) override {
    OutgoingRequest request{.method = "GET", .url = base_ + "/info", .headers = {}, .body = {}};
    request.timeout = kProbeTimeout;
    const long status = client_.Send(request, abort).status;
    return status != 0 && status < 500 && status != 429;
  }

  BatchLimits Limits() override {
    std::lock_guard lock(mutex_);
    return info_.limits;
  }

  std::size_t concurrency() const override { return 0; }
  bool uses_keys() const override { return true; }
  bool MustTravelAlone(const OutgoingOp& op) const override { return !HasBatchFields(op); }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig&) override {
    return [this] {
      std::lock_guard lock(mutex_);
      info_expires_ = {};
    };
  }

 private:
  static std::vector<std::string> Headers(std::string_view api_key, std::string_view type) {
    std::vector<std::string> headers = {"Content-Type: " + std::string(type),
                                        "Accept: application/json"};
    if (!api_key.empty()) headers.push_back("x-api-key: " + std::string(api_key));
    return headers;
  }

  SendResult SendMultipart(std::span<const OutgoingOp> ops, const TargetInfo& info,
                           std::string_view api_key, const std::atomic<bool>& abort) {
    const std::string boundary = NewBoundary();
    std::string body = MultipartBody(ops, boundary);
    OutgoingRequest request;
    request.url = base_ + "/runs/multipart";
    request.headers = Headers(api_key, "multipart/form-data; boundary=" + boundary);
    if (info.zstd) {
      body = CompressZstd(body);
      request.headers.emplace_back("Content-Encoding: zstd");
    }
    request.body = body;
    SendResult result = ResultOf(client_.Send(request, abort));
    if (info.zstd && result.code == "415") {
      std::lock_guard lock(mutex_);
      info_.zstd = false;
      result.verdict = Verdict::kRetry;
    }
    return result;
  }

  // What `/runs/batch` has no room for goes first where it has, or back to the caller to be parked.
  SendResult SendBatch(std::span<const OutgoingOp> ops, std::string_view api_key,
                       const std::atomic<bool>& abort) {
    if (!std::all_of(ops.begin(), ops.end(), CanBatch)) {
      if (ops.size() > 1) return {Verdict::kTooLarge, "404", "only without attachments", {}, false};
      if (ops[0].op->kind == OpKind::kFeedback) return SendAlone(ops[0], api_key, abort);
      return {
          Verdict::kRefused, "404", "the target takes no multipart, so no attachments", {}, false};
    }
    const std::string body = BatchBody(ops);
    return ResultOf(client_.Send({.url = base_ + "/runs/batch",
                                  .headers = Headers(api_key, "application/json"),
                                  .body = body},
                                 abort));
  }

  SendResult SendAlone(const OutgoingOp& op, std::string_view api_key,
                       const std::atomic<bool>& abort) {
    OutgoingRequest request;
    request.url = base_ + "/runs";
    if (op.op->kind == OpKind::kFeedback) request.url = base_ + "/feedback";
    if (op.op->kind == OpKind::kPatch) {
      request.method = "PATCH";
      request.url += "/" + op.op->run_id.ToString();
    }
    const std::string body = RunObject(op);
    request.headers = Headers(api_key, "application/json");
    request.body = body;
    SendResult result = ResultOf(client_.Send(request, abort));
    // The path names the run: it is the run that is not known, and it will not come to be known.
    if (result.code == "404") result.verdict = Verdict::kRefused;
    return result;
  }

  TargetInfo Info(std::string_view api_key, const std::atomic<bool>& abort) {
    {
      std::lock_guard lock(mutex_);
      if (Clock::now() < info_expires_) return info_;
      // Others go on with what was known.
      info_expires_ = Clock::now() + kInfoRetry;
    }
    OutgoingRequest request{.method = "GET", .url = base_ + "/info", .headers = {}, .body = {}};
    if (!api_key.empty()) request.headers.push_back("x-api-key: " + std::string(api_key));
    request.timeout = kInfoTimeout;
    const IncomingReply reply = client_.Send(request, abort);
    std::lock_guard lock(mutex_);
    if (reply.status == 200) {
      info_ = ParseInfo(reply.body);
      info_expires_ = Clock::now() + kInfoLasts;
    }
    return info_;
  }

  bool InFallback() {
    std::lock_guard lock(mutex_);
    return Clock::now() < fallback_ends_;
  }

  void EnterFallback() {
    std::lock_guard lock(mutex_);
    fallback_ends_ = Clock::now() + kFallbackLasts;
  }

  const std::string base_;
  HttpClient client_;
  std::mutex mutex_;
  TargetInfo info_;
  Clock::time_point info_expires_{};
  Clock::time_point fallback_ends_{};
};

}  // namespace

std::unique_ptr<Sink> MakeLangSmithSink(const DestinationConfig& config) {
  return std::make_unique<LangSmithSink>(config);
}

}  // namespace weft::collector
