// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Of a ClientRpcInfo::Type or a ServerRpcInfo::Type, which have the same names.
template <typename Type>
RpcKind KindOf(Type type) noexcept {
  switch (type) {
    case Type::CLIENT_STREAMING:
      return RpcKind::kClientStream;
    case Type::SERVER_STREAMING:
      return RpcKind::kServerStream;
    case Type::BIDI_STREAMING:
      return RpcKind::kBidiStream;
    default:
      return RpcKind::kUnary;
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
