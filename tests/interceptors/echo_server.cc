// SPDX-License-Identifier: Apache-2.0
#include "echo_server.h"

#include <utility>

#include <gtest/gtest.h>

#include <weft/interceptors/intercept_server.h>

#include "echo_rpc.h"
#include "ping_services.h"

namespace weft::echo_test {

std::unique_ptr<EchoService> MakeService(Flavour flavour, Progress& progress) {
  return weft::testing::internal::MakePingService<EchoRpc>(flavour, progress, 1);
}

EchoServer::EchoServer(Flavour flavour, InterceptorOptions options, int workers, bool guarded)
    : service_(weft::testing::internal::MakePingService<EchoRpc>(flavour, progress_, workers)) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  absl::Status status = service_->Register(builder, guarded);
  if (status.ok()) status = InterceptServer(builder, std::move(options));
  EXPECT_TRUE(status.ok()) << std::string(status.message());
  server_ = service_->Start(builder);
  EXPECT_NE(server_, nullptr);
  address_ = "127.0.0.1:" + std::to_string(port);
}

EchoServer::~EchoServer() { Shutdown(); }

void EchoServer::Shutdown() {
  if (std::exchange(server_, nullptr) != nullptr) service_->Shutdown();
}

}  // namespace weft::echo_test
