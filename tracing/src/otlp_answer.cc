// SPDX-License-Identifier: Apache-2.0
#include "otlp_answer.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using std::chrono::milliseconds;

/// Calls `field(number, in)` for each field of a message; it returns whether it read the field,
/// else the field is skipped. What is malformed ends the message.
template <typename Field>
void ReadMessage(std::string_view bytes, const Field& field) {
  CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  while (const std::uint32_t tag = in.ReadTag()) {
    if (field(tag, in)) continue;
    if (!WireFormatLite::SkipField(&in, tag)) return;
  }
}

constexpr std::uint32_t VarintTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_VARINT);
}
constexpr std::uint32_t BytesTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

bool ReadBytes(CodedInputStream& in, std::string& out) {
  std::uint32_t size = 0;
  return in.ReadVarint32(&size) && in.ReadString(&out, static_cast<int>(size));
}

bool ReadNumber(CodedInputStream& in, std::int64_t& out) {
  std::uint64_t value = 0;
  if (!in.ReadVarint64(&value)) return false;
  out = static_cast<std::int64_t>(value);
  return true;
}

/// How many spans of an accepted request were not taken, and why.
SendResult ReadPartialSuccess(std::string_view response, std::size_t spans) {
  std::string partial;
  ReadMessage(response, [&](std::uint32_t tag, CodedInputStream& in) {
    return tag == BytesTag(1) && ReadBytes(in, partial);
  });
  std::int64_t rejected = 0;
  SendResult result;
  ReadMessage(partial, [&](std::uint32_t tag, CodedInputStream& in) {
    return (tag == VarintTag(1) && ReadNumber(in, rejected)) ||
           (tag == BytesTag(2) && ReadBytes(in, result.reason));
  });
  if (rejected <= 0) return {};
  result.code = "partial success";
  result.rejected = std::min(static_cast<std::size_t>(rejected), spans);
  return result;
}

/// `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
std::optional<milliseconds> RetryDelay(std::string_view status) {
  std::optional<milliseconds> delay;
  std::string any, type, info, duration;
  ReadMessage(status, [&](std::uint32_t tag, CodedInputStream& in) {
    if (tag != BytesTag(3) || !ReadBytes(in, any)) return false;
    type.clear();
    info.clear();
    ReadMessage(any, [&](std::uint32_t part, CodedInputStream& from) {
      return (part == BytesTag(1) && ReadBytes(from, type)) ||
             (part == BytesTag(2) && ReadBytes(from, info));
    });
    if (!type.ends_with("/google.rpc.RetryInfo")) return true;
    duration.clear();
    ReadMessage(info, [&](std::uint32_t part, CodedInputStream& from) {
      return part == BytesTag(1) && ReadBytes(from, duration);
    });
    std::int64_t seconds = 0;
    std::int64_t nanos = 0;
    ReadMessage(duration, [&](std::uint32_t part, CodedInputStream& from) {
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
  if (!reply.content_type.starts_with("application/x-protobuf")) return reply.body;
  std::string message;
  ReadMessage(reply.body, [&](std::uint32_t tag, CodedInputStream& in) {
    return tag == BytesTag(2) && ReadBytes(in, message);
  });
  return message;
}

void Reject(SendResult& result, std::size_t spans) {
  result.verdict = Verdict::kSent;
  result.rejected = spans;
}

std::string CodeName(grpc::StatusCode code) {
  constexpr const char* kNames[] = {"OK",
                                    "CANCELLED",
                                    "UNKNOWN",
                                    "INVALID_ARGUMENT",
                                    "DEADLINE_EXCEEDED",
                                    "NOT_FOUND",
                                    "ALREADY_EXISTS",
                                    "PERMISSION_DENIED",
                                    "RESOURCE_EXHAUSTED",
                                    "FAILED_PRECONDITION",
                                    "ABORTED",
                                    "OUT_OF_RANGE",
                                    "UNIMPLEMENTED",
                                    "INTERNAL",
                                    "UNAVAILABLE",
                                    "DATA_LOSS",
                                    "UNAUTHENTICATED"};
  const auto index = static_cast<std::size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "code " + std::to_string(index);
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
  if (reply.status >= 200 && reply.status < 300) return ReadPartialSuccess(reply.body, spans);
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
