// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

std::string_view RpcKindName(RpcKind kind) noexcept {
  constexpr std::array<std::string_view, 4> kNames = {"unary", "client_stream", "server_stream",
                                                      "bidi_stream"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::string_view ServerApiName(ServerApi api) noexcept {
  constexpr std::array<std::string_view, 5> kNames = {"", "sync", "callback", "cq", "fiber"};
  return kNames[static_cast<std::size_t>(api)];
}

std::string_view StatusCodeName(grpc::StatusCode code) noexcept {
  constexpr std::array<std::string_view, 17> kNames = {"OK",
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
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

}  // namespace v0
}  // namespace weft
