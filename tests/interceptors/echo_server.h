// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/guard.h>
#include <weft/interceptors/interceptor_options.h>
#include <weft/testing/ping_server.h>

#include "ping_service.h"
#include "script.h"

namespace weft::echo_test {

using Flavour = weft::testing::ServerFlavour;

/// What EchoServer registers, for tests that build their server themselves.
using EchoService = weft::testing::internal::PingService;
std::unique_ptr<EchoService> MakeService(Flavour flavour, Progress& progress);

/// An intercepted server of one flavour on a free port: PingServer with a service of these tests.
class EchoServer {
 public:
  /// Not `guarded`: the service is registered with the builder alone.
  EchoServer(Flavour flavour, InterceptorOptions options, int workers = 1, bool guarded = true);
  ~EchoServer();

  const std::string& address() const noexcept { return address_; }
  grpc::Server& server() noexcept { return *server_; }
  Progress& progress() noexcept { return progress_; }

  /// Cancels what is in flight. Idempotent.
  void Shutdown();

 private:
  Progress progress_;
  std::unique_ptr<EchoService> service_;
  grpc::Server* server_ = nullptr;
  std::string address_;
};

}  // namespace weft::echo_test
