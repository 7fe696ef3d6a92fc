// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/support/server_interceptor.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// One interceptor for each call that the chain wants.
class ServerCallFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit ServerCallFactory(std::shared_ptr<const Chain> chain) noexcept
      : chain_(std::move(chain)) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  std::shared_ptr<const Chain> chain_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
