// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <weft/interceptors/middleware.h>
#include <weft/tracing/internal/status_code.h>

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
  const std::string_view name = internal::StatusCodeName(code);
  return name.empty() ? "UNKNOWN" : name;
}

}  // namespace v0
}  // namespace weft
