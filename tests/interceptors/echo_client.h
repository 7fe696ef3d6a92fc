// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <weft/interceptors/middleware.h>
#include <weft/testing/ping_client.h>

namespace weft::echo_test {

using ClientApi = weft::testing::ClientFlavour;

/// Makes one call to the end: two messages each way where the kind has a stream. `text` is in its
/// requests.
grpc::Status CallEcho(ClientApi api, RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                      grpc::ClientContext& context, const std::string& text = {});

/// A synchronous call; with a handler that waits it blocks until somebody ends it.
grpc::Status CallSync(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                      grpc::ClientContext& context, const std::string& text = {});

/// Sends bytes that are no message.
grpc::Status CallMalformed(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                           grpc::ClientContext& context);

/// Starts a stream, calls `once_started` and lets go of it without Finish, after a cancellation or
/// without one.
void DropCall(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel, const std::string& asked,
              const std::function<void()>& once_started, bool cancels = false);

/// Prepares a stream and lets go of it.
void PrepareAndDrop(const std::shared_ptr<grpc::Channel>& channel);

/// A unary call of any method, through a generic stub.
grpc::Status CallMethod(const std::string& method, const std::shared_ptr<grpc::Channel>& channel,
                        grpc::ClientContext& context, const std::string& text = {});

/// A method that the server does not have.
grpc::Status CallUnknownMethod(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace weft::echo_test
