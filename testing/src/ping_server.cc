// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/ping_server.h>

#include <utility>

#include <grpcpp/server_builder.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>

#include "ping_rpc.h"
#include "ping_services.h"

namespace weft {
inline namespace v0 {
namespace testing {

std::ostream& operator<<(std::ostream& out, ServerFlavour flavour) {
  constexpr const char* kNames[] = {"Sync",      "Callback",        "Cq",
                                    "GenericCq", "GenericCallback", "Fiber"};
  return out << kNames[static_cast<int>(flavour)];
}

PingServer::PingServer() = default;
PingServer::~PingServer() { Shutdown(); }

absl::StatusOr<std::unique_ptr<PingServer>> PingServer::Start(PingServerOptions options) {
  std::unique_ptr<PingServer> made(new PingServer);
  made->service_ = internal::MakePingService<internal::PingRpc>(options.flavour, made->progress_,
                                                                options.workers);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  absl::Status status = made->service_->Register(builder, options.guarded);
  if (status.ok()) status = InterceptServer(builder, std::move(options.interceptors));
  if (!status.ok()) return status;
  made->server_ = made->service_->Start(builder);
  if (made->server_ == nullptr) return absl::UnavailableError("gRPC could not start the server");
  made->address_ = "127.0.0.1:" + std::to_string(port);
  return made;
}

std::shared_ptr<grpc::Channel> PingServer::Connect(InterceptorOptions options) const {
  return CreateChannel(address_, grpc::InsecureChannelCredentials(), std::move(options));
}

std::shared_ptr<grpc::Channel> PingServer::ConnectInProcess(InterceptorOptions options) {
  return CreateInProcessChannel(*server_, std::move(options));
}

void PingServer::Shutdown() {
  if (std::exchange(server_, nullptr) != nullptr) service_->Shutdown();
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
