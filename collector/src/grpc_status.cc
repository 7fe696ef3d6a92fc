// SPDX-License-Identifier: Apache-2.0
#include "grpc_status.h"

#include <cstdint>

#include <weft/tracing/internal/proto_writer.h>

#include "retry_turn.h"

namespace weft::collector {

grpc::Status ComeAgain(grpc::StatusCode code, const std::string& message,
                       std::chrono::milliseconds wait) {
  if (wait.count() <= 0) wait = NextRetryTurn();
  std::string info;
  internal::ProtoWriter delay(info);
  const auto duration = delay.Begin(1);
  delay.Number(1, static_cast<std::uint64_t>(wait.count() / 1000));
  delay.Number(2, static_cast<std::uint64_t>(wait.count() % 1000 * 1'000'000));
  delay.End(duration);
  std::string details;
  internal::ProtoWriter out(details);
  out.Number(1, static_cast<std::uint64_t>(code));
  out.Text(2, message);
  const auto any = out.Begin(3);
  out.Text(1, "type.googleapis.com/google.rpc.RetryInfo");
  out.Text(2, info);
  out.End(any);
  return {code, message, details};
}

}  // namespace weft::collector
