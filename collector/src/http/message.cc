// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include <chrono>

#include <weft/collector/ingest.h>

#include "langsmith/json_scanner.h"
#include "retry_turn.h"

namespace weft::collector {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

/// A value that somebody sent and that goes into a header must not be able to end it.
bool IsHeaderValue(std::string_view value) {
  for (const char c : value) {
    if (c < 0x20 || c > 0x7E) return false;
  }
  return !value.empty();
}

}  // namespace

std::string JsonQuoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (quoted += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view kHex = "0123456789abcdef";
      quoted += "\\u00";
      quoted += kHex[static_cast<unsigned char>(c) >> 4];
      quoted += kHex[static_cast<unsigned char>(c) & 15];
    } else {
      quoted += c;
    }
  }
  return RepairJson(quoted += '"');
}

HttpReply ErrorReply(int status, std::string_view message, std::string_view reason_counted) {
  HttpReply reply;
  reply.status = status;
  reply.body = "{\"detail\":" + JsonQuoted(message) + "}";
  reply.message = message;
  reply.reason_counted = reason_counted;
  if (status == 503)
    reply.headers.emplace_back("Retry-After", std::to_string(NextRetryTurn().count()));
  return reply;
}

HttpReply ErrorReply(const absl::Status& status) {
  const std::string_view message(status.message().data(), status.message().size());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorReply(400, message);
    case absl::StatusCode::kUnauthenticated:
      return ErrorReply(401, message);
    case absl::StatusCode::kPermissionDenied:
      return ErrorReply(403, message);
    case absl::StatusCode::kNotFound:
      return ErrorReply(404, message);
    case absl::StatusCode::kOutOfRange:
      return ErrorReply(413, message);
    case absl::StatusCode::kResourceExhausted:
      if (const auto wait = RetryAfterOf(status); wait.count() > 0) {
        HttpReply reply = ErrorReply(429, message);
        reply.headers.emplace_back(
            "Retry-After", std::to_string(std::chrono::ceil<std::chrono::seconds>(wait).count()));
        return reply;
      }
      return ErrorReply(503, message);
    case absl::StatusCode::kUnavailable:
      return ErrorReply(503, message);
    default:
      return ErrorReply(500, message);
  }
}

std::string Serialize(const HttpReply& reply, bool keep_alive, bool is_head) {
  std::string text;
  text.reserve(256 + reply.body.size());
  const auto header = [&text](std::string_view name, std::string_view value) {
    text.append(name).append(": ").append(value).append("\r\n");
  };
  text.append("HTTP/1.1 ").append(std::to_string(reply.status)).append(" ");
  text.append(ReasonPhrase(reply.status)).append("\r\n");
  header("Content-Type",
         IsHeaderValue(reply.content_type) ? reply.content_type : "application/octet-stream");
  header("Content-Length", std::to_string(reply.body.size()));
  for (const auto& [name, value] : reply.headers) header(name, value);
  if (!keep_alive) header("Connection", "close");
  text.append("\r\n");
  if (!is_head) text.append(reply.body);
  return text;
}

}  // namespace weft::collector
