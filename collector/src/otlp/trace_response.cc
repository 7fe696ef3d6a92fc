// SPDX-License-Identifier: Apache-2.0
#include "otlp/trace_response.h"

#include <algorithm>

#include <weft/tracing/internal/proto_writer.h>

#include "http/message.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMaxReasons = 10;

std::string Reasons(const std::vector<RejectedOp>& rejected) {
  std::string text;
  for (std::size_t i = 0; i < std::min(rejected.size(), kMaxReasons); ++i) {
    text += text.empty() ? "" : "; ";
    text += "span " + std::to_string(rejected[i].index) + ": " + rejected[i].reason;
  }
  return rejected.size() > kMaxReasons ? text + "; ..." : text;
}

}  // namespace

std::string TraceResponse(const std::vector<RejectedOp>& rejected, bool as_json) {
  if (rejected.empty()) return as_json ? "{}" : "";
  if (as_json) {
    return "{\"partialSuccess\":{\"rejectedSpans\":\"" + std::to_string(rejected.size()) +
           "\",\"errorMessage\":" + JsonQuoted(Reasons(rejected)) + "}}";
  }
  std::string bytes;
  internal::ProtoWriter out(bytes);
  const auto partial = out.Begin(1);
  out.Number(1, rejected.size());
  out.Text(2, Reasons(rejected));
  out.End(partial);
  return bytes;
}

std::string RpcStatus(int code, std::string_view message, bool as_json) {
  if (as_json) {
    return "{\"code\":" + std::to_string(code) + ",\"message\":" + JsonQuoted(message) + "}";
  }
  std::string bytes;
  internal::ProtoWriter out(bytes);
  out.Number(1, static_cast<std::uint64_t>(code));
  out.Text(2, message);
  return bytes;
}

}  // namespace weft::collector
