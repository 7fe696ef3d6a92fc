// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <weft/interceptors/interceptor_options.h>

namespace weft {
inline namespace v0 {

/// A channel whose calls go through a chain of middlewares. Stubs of every kind work unchanged:
/// synchronous, callback, completion-queue, generic.
///
///     auto channel = weft::CreateChannel("dns:///retriever:50051", credentials,
///                                        {.tracer = tracer});
///
/// The context that is current where a stub is called is the call's parent; the one where the reply
/// is handled does not matter.
std::shared_ptr<grpc::Channel> CreateChannel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    InterceptorOptions options = {}, const grpc::ChannelArguments& arguments = {});

/// The same to a server of this process.
std::shared_ptr<grpc::Channel> CreateInProcessChannel(grpc::Server& server,
                                                      InterceptorOptions options = {},
                                                      const grpc::ChannelArguments& arguments = {});

/// For code that makes its channel itself, with
/// `grpc::experimental::CreateCustomChannelWithInterceptors`. Put it first: then it is outermost.
/// `target` is what runs say they called; may be empty.
std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
ClientInterceptors(InterceptorOptions options, std::string target = {});

}  // namespace v0
}  // namespace weft
