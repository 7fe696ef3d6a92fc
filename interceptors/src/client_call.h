// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/support/client_interceptor.h>

#include "chain.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// One interceptor for each call that the chain wants.
class ClientCallFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit ClientCallFactory(std::shared_ptr<const Chain> chain) noexcept
      : chain_(std::move(chain)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override;

 private:
  std::shared_ptr<const Chain> chain_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
