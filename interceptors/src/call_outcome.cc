// SPDX-License-Identifier: Apache-2.0
#include "call_outcome.h"

#include <chrono>
#include <cstdint>
#include <string>

#include <weft/interceptors/recovery.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

std::string StatusText(const grpc::Status& status) {
  return std::string(StatusCodeName(status.error_code()))
      .append(": ")
      .append(status.error_message());
}

std::string ErrorText(const Call& call, const grpc::Status& status) {
  std::string text = StatusText(status);
  if (call.exception() != nullptr) text.append(": ").append(ExceptionText(call.exception()));
  return text;
}

}  // namespace

bool IsServerError(grpc::StatusCode code) noexcept {
  switch (code) {
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS:
      return true;
    default:
      return false;
  }
}

bool EndedWell(const Call& call, const CallReport& report) noexcept {
  return report.status.ok() && call.kind() == RpcKind::kUnary && !report.cancelled &&
         !report.abandoned && !report.deadline_exceeded && report.rejected_by.empty();
}

void DescribeOutcome(const Call& call, const CallReport& report, Run& run) noexcept {
  const grpc::StatusCode code = report.status.error_code();
  run.AddAttribute(kStatusCode, std::int64_t{code});
  if (report.api != ServerApi::kNone) run.AddAttribute(kServerApi, ServerApiName(report.api));
  if (call.kind() != RpcKind::kUnary) {
    run.AddAttribute("rpc.grpc.messages_sent", static_cast<std::int64_t>(report.messages_sent));
    run.AddAttribute("rpc.grpc.messages_received",
                     static_cast<std::int64_t>(report.messages_received));
  }
  if (report.cancelled) run.AddAttribute("weft.cancelled", true);
  if (report.abandoned) run.AddAttribute("weft.abandoned", true);
  if (report.deadline_exceeded) run.AddAttribute("weft.deadline_exceeded", true);
  if (!report.rejected_by.empty()) {
    run.AddAttribute("weft.rejected_by", std::string(report.rejected_by));
    run.AddAttribute(
        "weft.rejected_after_us",
        std::chrono::duration_cast<std::chrono::microseconds>(report.rejected_after).count());
    run.AddAttribute("weft.verdict", StatusText(report.status));
  }
  if (call.exception() != nullptr) {
    run.AddAttribute("exception.message", ExceptionText(call.exception()));
  }
  if (call.side() == CallSide::kClient ? code != grpc::StatusCode::OK
                                       : report.abandoned || IsServerError(code)) {
    run.SetError(ErrorText(call, report.status));
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
