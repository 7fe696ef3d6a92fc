// SPDX-License-Identifier: Apache-2.0
#include "otlp/http_api.h"

#include <algorithm>
#include <cctype>
#include <memory>
#include <utility>

#include "http/content_coding.h"
#include "http/guard.h"
#include "otlp/json_request.h"
#include "otlp/trace_request.h"
#include "otlp/trace_response.h"

namespace weft::collector {
namespace {

constexpr std::string_view kProtobuf = "application/x-protobuf";
constexpr std::string_view kJson = "application/json";

bool HasType(const HttpRequest& request, std::string_view wanted) {
  std::string_view type = request.content_type;
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') type.remove_suffix(1);
  return std::equal(type.begin(), type.end(), wanted.begin(), wanted.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

bool IsJson(const HttpRequest& request) { return HasType(request, kJson); }

HttpReply Unreadable(const absl::Status& status) {
  const std::string message(status.message());
  if (absl::IsResourceExhausted(status)) return ErrorReply(413, message, "too_large");
  if (absl::IsInvalidArgument(status)) return ErrorReply(400, message, "unreadable");
  return ErrorReply(status);
}

int RpcCode(int http_status) {
  switch (http_status) {
    case 400:
      return 3;  // INVALID_ARGUMENT
    case 401:
      return 16;  // UNAUTHENTICATED
    case 403:
      return 7;  // PERMISSION_DENIED
    case 413:
    case 429:
      return 8;  // RESOURCE_EXHAUSTED
    case 405:
    case 415:
    case 501:
      return 12;  // UNIMPLEMENTED
    case 503:
      return 14;  // UNAVAILABLE
    default:
      return http_status < 500 ? 3 : 13;  // INTERNAL
  }
}

}  // namespace

std::optional<HttpReply> OtlpHttpApi::CheckHeader(const HttpRequest& request) const {
  if (!ParseContentCoding(request.content_encoding)) {
    HttpReply reply = ErrorReply(415,
                                 "Content-Encoding: '" + request.content_encoding +
                                     "' is none of identity, gzip, deflate, zstd",
                                 "coding");
    reply.headers.emplace_back("Accept-Encoding", "gzip, deflate, zstd");
    return reply;
  }
  if (IsJson(request) || HasType(request, kProtobuf)) return std::nullopt;
  return ErrorReply(415,
                    "Content-Type: '" + request.content_type +
                        "' is neither application/x-protobuf nor application/json",
                    "type");
}

void OtlpHttpApi::Write(const HttpRequest& request, std::string body, Done done) const {
  thread_local DecodeBuffer scratch;
  const ContentCoding coding =
      ParseContentCoding(request.content_encoding).value_or(ContentCoding::kIdentity);
  std::string message;
  if (coding == ContentCoding::kIdentity) {
    if (body.size() > options_.max_decoded_bytes) {
      return done(ErrorReply(413, "body: too large", "too_large"));
    }
    message = std::move(body);
  } else {
    const absl::Status status = DecodeContent(coding, body, options_.max_decoded_bytes, &scratch);
    if (status.ok()) message = scratch.view();
    scratch.Shrink();
    if (!status.ok()) return done(Unreadable(status));
  }
  const bool is_json = IsJson(request);
  if (is_json) {
    auto converted = TraceRequestFromJson(std::move(message));
    if (!converted.ok()) return done(Unreadable(converted.status()));
    message = *std::move(converted);
  }
  auto decoded = DecodeTraceRequest(request.project, &message);
  if (!decoded.ok()) return done(Unreadable(decoded.status()));

  auto reply = std::make_shared<HttpReply>();
  reply->content_type = is_json ? kJson : kProtobuf;
  reply->body = TraceResponse(decoded->rejected, is_json);
  if (decoded->ops.empty() && decoded->rejected.empty()) return done(std::move(*reply));
  IngestBatch batch;
  batch.header.receiver = Receiver::kOtlp;
  batch.header.decoded_size = message.size();
  batch.header.ops = std::move(decoded->ops);
  batch.rejected = std::move(decoded->rejected);
  batch.api_key = request.api_key;
  if (batch.api_key.empty()) batch.caller_key = KeyOf(request);
  batch.reserved = true;
  const bool as_it_came = coding == ContentCoding::kZstd && !is_json && !decoded->changed;
  batch.header.coding = as_it_came ? PayloadCoding::kZstd : PayloadCoding::kIdentity;
  batch.payload = as_it_came ? std::move(body) : std::move(message);
  batch.on_rejected = [reply, is_json](const std::vector<RejectedOp>& rejected) {
    reply->body = TraceResponse(rejected, is_json);
  };
  services_.ingest->Accept(std::move(batch), [reply = std::move(reply),
                                              done = std::move(done)](const absl::Status& status) {
    done(status.ok() ? std::move(*reply) : ErrorReply(status));
  });
}

HttpReply OtlpError(const HttpRequest& request, HttpReply reply) {
  const bool is_json = IsJson(request);
  reply.body = RpcStatus(RpcCode(reply.status), reply.message, is_json);
  reply.content_type = is_json ? kJson : kProtobuf;
  return reply;
}

}  // namespace weft::collector
