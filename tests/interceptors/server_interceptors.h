// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_interceptor.h>

namespace weft::echo_test {

/// How many interceptors gRPC holds for the call.
std::size_t InterceptorsOf(const grpc::ServerContextBase& context);

/// Makes interceptors that change nothing.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> PassThrough();

}  // namespace weft::echo_test
