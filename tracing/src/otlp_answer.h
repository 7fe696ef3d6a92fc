// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

#include <grpcpp/support/status.h>

#include <weft/tracing/internal/delivery.h>
#include <weft/tracing/internal/http_client.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// The code of an answer that took some spans of a request.
inline constexpr char kPartialSuccess[] = "partial success";

// What a receiver of OTLP made of a request with so many spans. What OTLP does not allow to retry
// was rejected; of a request that is too large or malformed, the parts are tried once.

SendResult ReadOtlpReply(const IncomingReply& reply, std::size_t spans);

/// `body`: the serialised ExportTraceServiceResponse.
SendResult ReadOtlpStatus(const grpc::Status& status, std::string_view body, std::size_t spans);

}  // namespace internal
}  // namespace v0
}  // namespace weft
