// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/langsmith_client.h>

#include <algorithm>
#include <utility>

#include <boost/json.hpp>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::milliseconds;

constexpr std::chrono::minutes kInfoLasts{10};
constexpr std::chrono::seconds kInfoRetry{30};
constexpr std::chrono::minutes kFallbackLasts{10};
constexpr milliseconds kInfoTimeout{5'000};
constexpr milliseconds kProbeTimeout{2'000};
constexpr std::size_t kMaxReasonBytes = 2'000;

LangSmithInfo ParseInfo(const std::string& body) {
  LangSmithInfo info;
  boost::system::error_code error;
  const boost::json::value parsed = boost::json::parse(body, error);
  if (error) return info;
  const auto number = [&parsed](const char* pointer, std::uint64_t most) {
    boost::system::error_code absent;
    const boost::json::value* const found = parsed.find_pointer(pointer, absent);
    if (found == nullptr || !found->is_int64() || found->get_int64() < 1) return most;
    return std::min(most, static_cast<std::uint64_t>(found->get_int64()));
  };
  const auto flag = [&parsed](const char* pointer, bool fallback) {
    boost::system::error_code absent;
    const boost::json::value* const found = parsed.find_pointer(pointer, absent);
    return found != nullptr && found->is_bool() ? found->get_bool() : fallback;
  };
  info.max_runs = number("/batch_ingest_config/size_limit", info.max_runs);
  info.max_bytes = number("/batch_ingest_config/size_limit_bytes", info.max_bytes);
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

}  // namespace

std::vector<std::string> LangSmithClient::Headers(std::string_view api_key) const {
  std::vector<std::string> headers = headers_;
  if (!api_key.empty()) headers.push_back("x-api-key: " + std::string(api_key));
  return headers;
}

LangSmithInfo LangSmithClient::Info(std::string_view api_key, const std::atomic<bool>& abort) {
  {
    const std::lock_guard lock(mutex_);
    if (Clock::now() < info_expires_) return info_;
    // Others go on with what was known.
    info_expires_ = Clock::now() + kInfoRetry;
  }
  OutgoingRequest request{
      .method = "GET", .url = base_ + "/info", .headers = Headers(api_key), .body = {}};
  request.timeout = kInfoTimeout;
  request.tls = Tls();
  const IncomingReply reply = http_.Send(request, abort);
  const std::lock_guard lock(mutex_);
  if (reply.status == 200) {
    info_ = ParseInfo(reply.body);
    info_expires_ = Clock::now() + kInfoLasts;
  }
  return info_;
}

LangSmithInfo LangSmithClient::last_info() {
  const std::lock_guard lock(mutex_);
  return info_;
}

void LangSmithClient::Renew(TlsFiles tls) {
  {
    const std::lock_guard lock(mutex_);
    tls_ = std::move(tls);
    info_expires_ = {};
  }
  http_.Renew();
}

TlsFiles LangSmithClient::Tls() {
  const std::lock_guard lock(mutex_);
  return tls_;
}

bool LangSmithClient::TakesForms(const LangSmithInfo& info) {
  const std::lock_guard lock(mutex_);
  return info.multipart && Clock::now() >= forms_from_;
}

void LangSmithClient::StopForms() {
  const std::lock_guard lock(mutex_);
  forms_from_ = Clock::now() + kFallbackLasts;
}

SendResult LangSmithClient::SendForm(FormData form, const LangSmithInfo& info,
                                     std::string_view api_key, const std::atomic<bool>& abort) {
  const std::string type = form.content_type();
  std::string body = std::move(form).Finish();
  if (info.zstd) body = CompressZstd(body);
  SendResult result =
      Send("POST", "/runs/multipart", type, info.zstd ? "zstd" : "", body, api_key, abort);
  if (info.zstd && result.code == "415") {
    const std::lock_guard lock(mutex_);
    info_.zstd = false;
    result.verdict = Verdict::kRetry;
  }
  return result;
}

SendResult LangSmithClient::Send(const std::string& method, const std::string& path,
                                 const std::string& type, const std::string& coding,
                                 std::string_view body, std::string_view api_key,
                                 const std::atomic<bool>& abort) {
  OutgoingRequest request{
      .method = method, .url = base_ + path, .headers = Headers(api_key), .body = body};
  request.headers.push_back("Content-Type: " + type);
  request.headers.emplace_back("Accept: application/json");
  if (!coding.empty()) request.headers.push_back("Content-Encoding: " + coding);
  request.tls = Tls();
  return ResultOf(http_.Send(request, abort));
}

bool LangSmithClient::Probe(const std::atomic<bool>& abort) {
  OutgoingRequest request{.method = "GET", .url = base_ + "/info", .headers = headers_, .body = {}};
  request.timeout = kProbeTimeout;
  request.tls = Tls();
  const long status = http_.Send(request, abort).status;
  return status != 0 && status < 500 && status != 429;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
