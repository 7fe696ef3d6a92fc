// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/ping_client.h>

#include "ping_calls.h"
#include "ping_rpc.h"

namespace weft {
inline namespace v0 {
namespace testing {

using Calls = internal::PingCalls<internal::PingRpc>;

std::ostream& operator<<(std::ostream& out, ClientFlavour flavour) {
  constexpr const char* kNames[] = {"Sync", "Callback", "Cq", "GenericCq"};
  return out << kNames[static_cast<int>(flavour)];
}

const char* PingMethodName(RpcKind kind) {
  constexpr const char* kNames[] = {"Unary", "ClientStream", "ServerStream", "Bidi"};
  return kNames[static_cast<int>(kind)];
}

grpc::Status Ping(ClientFlavour flavour, RpcKind kind,
                  const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext& context,
                  const std::string& text) {
  return Calls::Call(flavour, kind, channel, context, text);
}

void DropPing(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
              grpc::ClientContext& context, const std::function<void()>& once_started) {
  Calls::Drop(kind, channel, context, once_started);
}

grpc::Status PingMethod(const std::string& full_method,
                        const std::shared_ptr<grpc::Channel>& channel,
                        grpc::ClientContext& context) {
  return Calls::Method(full_method, channel, context, {});
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
