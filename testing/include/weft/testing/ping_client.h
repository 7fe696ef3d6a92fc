// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// The interfaces of gRPC that a client can be written for. kGenericCq makes unary calls only.
enum class ClientFlavour { kSync, kCallback, kCq, kGenericCq };

/// `Sync`, `Callback` ...
std::ostream& operator<<(std::ostream& out, ClientFlavour flavour);

/// `Unary`, `ClientStream`, `ServerStream`, `Bidi`.
const char* PingMethodName(RpcKind kind);

/// Makes one call to a PingServer, to its end: two messages each way where the kind has a stream.
/// `text` is in its requests. The metadata of `context` may ask for an ending; see namespace
/// behaviour.
grpc::Status Ping(ClientFlavour flavour, RpcKind kind,
                  const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context,
                  const std::string& text = {});

/// Starts a stream with `context`, calls `once_started` and lets go of it without Finish.
void DropPing(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
              grpc::ClientContext& context, const std::function<void()>& once_started);

/// A unary call of any method.
grpc::Status PingMethod(const std::string& full_method,
                        const std::shared_ptr<grpc::Channel>& channel,
                        grpc::ClientContext& context);

}  // namespace testing
}  // namespace v0
}  // namespace weft
