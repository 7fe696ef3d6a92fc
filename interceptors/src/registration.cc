// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <utility>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>

#include "chain.h"
#include "client_call.h"
#include "server_interceptor.h"
#include "trust_policy.h"

namespace weft {
inline namespace v0 {
namespace {

absl::Status Check(const InterceptorOptions& options, std::size_t others, bool null_other) {
  for (std::size_t i = 0; i < options.middlewares.size(); ++i) {
    if (options.middlewares[i].middleware == nullptr) {
      return absl::InvalidArgumentError("middlewares[" + std::to_string(i) + "] is null");
    }
  }
  if (null_other) {
    return absl::InvalidArgumentError("one of the " + std::to_string(others) +
                                      " other interceptor factories is null");
  }
  return internal::TrustPolicy::Check(options.tracing.trust);
}

}  // namespace

absl::Status InterceptServer(
    grpc::ServerBuilder& builder, InterceptorOptions options,
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> others) {
  bool null_other = false;
  for (const auto& other : others) null_other = null_other || other == nullptr;
  if (absl::Status status = Check(options, others.size(), null_other); !status.ok()) return status;
  const std::shared_ptr<internal::ServerGuards> guards = internal::ServerGuards::Of(builder);
  const bool guards_all = options.guard_services;
  const auto chain = std::make_shared<internal::Chain>(CallSide::kServer, std::move(options),
                                                       std::string(), guards);
  if (!guards->SetChain(chain)) {
    return absl::FailedPreconditionError(
        "InterceptServer was called before on this ServerBuilder; give it all middlewares at once");
  }
  guards->SetGuardsAll(guards_all);
  // gRPC runs the last factory first for what is received: ours is to be around all others, and the
  // first of the others around the rest.
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
  for (auto other = others.rbegin(); other != others.rend(); ++other) {
    factories.push_back(std::move(*other));
  }
  factories.push_back(
      std::make_unique<internal::ServerInterceptorFactory>(chain, factories.empty()));
  builder.experimental().SetInterceptorCreators(std::move(factories));
  return absl::OkStatus();
}

std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
ClientInterceptors(InterceptorOptions options, std::string target) {
  std::erase_if(options.middlewares,
                [](const ChainLink& link) { return link.middleware == nullptr; });
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> factories;
  factories.push_back(
      std::make_unique<internal::ClientCallFactory>(std::make_shared<internal::Chain>(
          CallSide::kClient, std::move(options), std::move(target), nullptr)));
  return factories;
}

std::shared_ptr<grpc::Channel> CreateChannel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
    InterceptorOptions options, const grpc::ChannelArguments& arguments) {
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      target, credentials, arguments, ClientInterceptors(std::move(options), target));
}

std::shared_ptr<grpc::Channel> CreateInProcessChannel(grpc::Server& server,
                                                      InterceptorOptions options,
                                                      const grpc::ChannelArguments& arguments) {
  return server.experimental().InProcessChannelWithInterceptors(
      arguments, ClientInterceptors(std::move(options), "in-process"));
}

}  // namespace v0
}  // namespace weft
