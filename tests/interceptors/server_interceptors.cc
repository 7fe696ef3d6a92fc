// SPDX-License-Identifier: Apache-2.0
#include "server_interceptors.h"

namespace weft::echo_test {

// A call's interceptors, as gRPC keeps them.
template <auto kMember, typename Tag>
struct Private {
  friend constexpr auto Get(Tag) { return kMember; }
};
struct RpcInfoTag {
  friend constexpr auto Get(RpcInfoTag);
};
struct InterceptorsTag {
  friend constexpr auto Get(InterceptorsTag);
};
template struct Private<&grpc::ServerContextBase::rpc_info_, RpcInfoTag>;
template struct Private<&grpc::experimental::ServerRpcInfo::interceptors_, InterceptorsTag>;

namespace {

class PassThroughFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    class Interceptor final : public grpc::experimental::Interceptor {
      void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
        batch->Proceed();
      }
    };
    return new Interceptor;
  }
};

}  // namespace

std::size_t InterceptorsOf(const grpc::ServerContextBase& context) {
  return (context.*Get(RpcInfoTag())->*Get(InterceptorsTag())).size();
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> PassThrough() {
  return std::make_unique<PassThroughFactory>();
}

}  // namespace weft::echo_test
