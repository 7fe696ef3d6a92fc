// SPDX-License-Identifier: Apache-2.0
#include "echo_client.h"

#include "echo_rpc.h"
#include "ping_calls.h"
#include "script.h"

namespace weft::echo_test {

using Calls = weft::testing::internal::PingCalls<EchoRpc>;

std::string RunNameOf(RpcKind kind) { return Calls::NameOf(kind).substr(1); }

grpc::Status CallSync(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                      grpc::ClientContext& context, const std::string& text) {
  return Calls::Sync(kind, channel, context, text);
}

grpc::Status CallMethod(const std::string& method, const std::shared_ptr<grpc::Channel>& channel,
                        grpc::ClientContext& context, const std::string& text) {
  return Calls::Method(method, channel, context, text);
}

grpc::Status CallMalformed(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                           grpc::ClientContext& context) {
  return Calls::Malformed(kind, channel, context);
}

grpc::Status CallEcho(ClientApi api, RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                      grpc::ClientContext& context, const std::string& text) {
  return Calls::Call(api, kind, channel, context, text);
}

void DropCall(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel, const std::string& asked,
              const std::function<void()>& once_started, bool cancels) {
  grpc::ClientContext context;
  context.AddMetadata(kBehaviour, asked);
  Calls::Drop(kind, channel, context, [&] {
    once_started();
    if (cancels) context.TryCancel();
  });
}

void PrepareAndDrop(const std::shared_ptr<grpc::Channel>& channel) {
  Calls::PrepareAndDrop(channel);
}

grpc::Status CallUnknownMethod(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  return CallMethod("/echo.Echo/Nope", channel, context);
}

}  // namespace weft::echo_test
