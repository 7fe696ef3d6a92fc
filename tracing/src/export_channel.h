// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// The channel of an exporter: what it goes to is found again within seconds, also where it moved.
inline std::shared_ptr<grpc::Channel> MakeExportChannel(
    const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  // By itself gRPC asks for an address twice a minute.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 2000);
  // Batches are sent again by us; gRPC would keep a second copy of each.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // The connection is not shared with channels of the application.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, credentials, arguments);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
