// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <grpcpp/support/server_interceptor.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// One interceptor for each call that the chain wants and that no handler of ours is around.
class ServerInterceptorFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  /// `alone`: no other interceptors see the server's calls.
  ServerInterceptorFactory(std::shared_ptr<const Chain> chain, bool alone) noexcept
      : chain_(std::move(chain)), alone_(alone) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<const Chain> chain_;
  const bool alone_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
