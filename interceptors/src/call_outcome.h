// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <grpcpp/support/status.h>

#include <weft/interceptors/middleware.h>
#include <weft/tracing/run.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Metadata of a call's run.
inline constexpr std::string_view kStatusCode = "rpc.grpc.status_code";
inline constexpr std::string_view kServerApi = "weft.server_api";

/// What is the server's fault rather than an answer (as OpenTelemetry's instrumentation has it).
bool IsServerError(grpc::StatusCode code) noexcept;

/// Whether there is nothing to say about a call but its code and its server's API.
bool EndedWell(const Call& call, const CallReport& report) noexcept;

/// Puts how the call ended into its run.
void DescribeOutcome(const Call& call, const CallReport& report, Run& run) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
