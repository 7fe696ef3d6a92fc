// SPDX-License-Identifier: Apache-2.0
#include "otlp_answer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <boost/json.hpp>

#include <weft/tracing/internal/status_code.h>
#include <weft/tracing/json.h>

#include "proto_reader.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using std::chrono::milliseconds;

constexpr std::uint32_t VarintTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT);
}
constexpr std::uint32_t BytesTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

bool ReadNumber(CodedInputStream& in, std::int64_t& out) {
  std::uint64_t value = 0;
  if (!in.ReadVarint64(&value)) return false;
  out = static_cast<std::int64_t>(value);
  return true;
}

SendResult PartialSuccess(std::int64_t rejected, std::string reason, std::size_t spans) {
  if (rejected <= 0) return {};
  return {.code = kPartialSuccess,
          .reason = std::move(reason),
          .rejected = std::min(static_cast<std::size_t>(rejected), spans)};
}

/// How many spans of an accepted request were not taken, and why.
SendResult ReadPartialSuccess(std::string_view response, std::size_t spans) {
  std::string partial;
  ReadProto(response, [&](std::uint32_t tag, CodedInputStream& in) {
    return tag == BytesTag(1) && ReadProtoBytes(in, partial);
  });
  std::int64_t rejected = 0;
  std::string reason;
  ReadProto(partial, [&](std::uint32_t tag, CodedInputStream& in) {
    return (tag == VarintTag(1) && ReadNumber(in, rejected)) ||
           (tag == BytesTag(2) && ReadProtoBytes(in, reason));
  });
  return PartialSuccess(rejected, std::move(reason), spans);
}

bool IsJson(const IncomingReply& reply) {
  // Some receivers say so of protobuf's bytes, which never begin like that.
  return reply.content_type.starts_with("application/json") && reply.body.starts_with('{');
}

JsonObject ParseObject(std::string_view text) {
  boost::system::error_code error;
  Json parsed = boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
  return !error && parsed.is_object() ? std::move(parsed.get_object()) : JsonObject();
}

std::string TextAt(const JsonObject& object, std::string_view key) {
  const Json* const value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// The same where the answer is JSON.
SendResult ReadJsonSuccess(std::string_view response, std::size_t spans) {
  const JsonObject parsed = ParseObject(response);
  const Json* const partial = parsed.if_contains("partialSuccess");
  if (partial == nullptr || !partial->is_object()) return {};
  const JsonObject& said = partial->get_object();
  // 64-bit integers are strings there; some receivers write numbers.
  std::int64_t rejected = 0;
  const Json* const count = said.if_contains("rejectedSpans");
  if (count != nullptr && count->is_int64()) rejected = count->get_int64();
  if (const std::string text = TextAt(said, "rejectedSpans"); !text.empty()) {
    std::from_chars(text.data(), text.data() + text.size(), rejected);
  }
  return PartialSuccess(rejected, TextAt(said, "errorMessage"), spans);
}

/// `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
std::optional<milliseconds> RetryDelay(std::string_view status) {
  std::optional<milliseconds> delay;
  std::string any, type, info, duration;
  ReadProto(status, [&](std::uint32_t tag, CodedInputStream& in) {
    if (tag != BytesTag(3) || !ReadProtoBytes(in, any)) return false;
    type.clear();
    info.clear();
    ReadProto(any, [&](std::uint32_t part, CodedInputStream& from) {
      return (part == BytesTag(1) && ReadProtoBytes(from, type)) ||
             (part == BytesTag(2) && ReadProtoBytes(from, info));
    });
    if (!type.ends_with("/google.rpc.RetryInfo")) return true;
    duration.clear();
    ReadProto(info, [&](std::uint32_t part, CodedInputStream& from) {
      return part == BytesTag(1) && ReadProtoBytes(from, duration);
    });
    std::int64_t seconds = 0;
    std::int64_t nanos = 0;
    ReadProto(duration, [&](std::uint32_t part, CodedInputStream& from) {
      return (part == VarintTag(1) && ReadNumber(from, seconds)) ||
             (part == VarintTag(2) && ReadNumber(from, nanos));
    });
    constexpr std::int64_t kDay = 86'400;
    delay = std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, kDay)) +
            milliseconds(std::clamp<std::int64_t>(nanos, 0, 999'999'999) / 1'000'000);
    return true;
  });
  return delay;
}

/// What an error's body says: a `google.rpc.Status`, or text.
std::string ReasonOf(const IncomingReply& reply) {
  if (IsJson(reply)) {
    std::string message = TextAt(ParseObject(reply.body), "message");
    return message.empty() ? reply.body : message;
  }
  if (!reply.content_type.starts_with("application/x-protobuf")) return reply.body;
  std::string message;
  ReadProto(reply.body, [&](std::uint32_t tag, CodedInputStream& in) {
    return tag == BytesTag(2) && ReadProtoBytes(in, message);
  });
  return message;
}

void Reject(SendResult& result, std::size_t spans) {
  result.verdict = Verdict::kSent;
  result.rejected = spans;
}

std::string CodeName(grpc::StatusCode code) {
  const std::string_view name = StatusCodeName(code);
  return name.empty() ? "code " + std::to_string(code) : std::string(name);
}

/// gRPC says the same of a quota and of a message that it does not take.
bool IsAboutSize(std::string_view message) {
  const std::string lower = AsciiLower(message);
  return lower.find("larger") != lower.npos || lower.find("too large") != lower.npos ||
         lower.find("size") != lower.npos;
}

}  // namespace

SendResult ReadOtlpReply(const IncomingReply& reply, std::size_t spans) {
  SendResult result;
  if (reply.status == 0) {
    result.verdict = Verdict::kRetry;
    result.code = "connection";
    result.reason = reply.error;
    result.unreachable = true;
    return result;
  }
  if (reply.status >= 200 && reply.status < 300) {
    return IsJson(reply) ? ReadJsonSuccess(reply.body, spans)
                         : ReadPartialSuccess(reply.body, spans);
  }
  result.code = std::to_string(reply.status);
  result.reason = ReasonOf(reply);
  result.retry_after = reply.retry_after;
  switch (reply.status) {
    case 429:
    case 502:
    case 503:
    case 504:
      result.verdict = Verdict::kRetry;
      return result;
    case 400:
    case 422:
      result.verdict = Verdict::kRefused;
      return result;
    case 413:
      result.verdict = Verdict::kTooLarge;
      return result;
    default:
      Reject(result, spans);
      return result;
  }
}

SendResult ReadOtlpStatus(const grpc::Status& status, std::string_view body, std::size_t spans) {
  if (status.ok()) return ReadPartialSuccess(body, spans);
  SendResult result;
  result.code = CodeName(status.error_code());
  result.reason = status.error_message();
  result.retry_after = RetryDelay(status.error_details());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      // What a receiver says itself, and what gRPC says of one that is not there, look the same.
      result.unreachable = true;
      [[fallthrough]];
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::DATA_LOSS:
      result.verdict = Verdict::kRetry;
      return result;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (result.retry_after) {
        result.verdict = Verdict::kRetry;
      } else if (IsAboutSize(result.reason)) {
        result.verdict = Verdict::kTooLarge;
      } else {
        Reject(result, spans);
      }
      return result;
    case grpc::StatusCode::INVALID_ARGUMENT:
      result.verdict = Verdict::kRefused;
      return result;
    default:
      Reject(result, spans);
      return result;
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
