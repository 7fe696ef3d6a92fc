// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <ostream>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/guard.h>
#include <weft/interceptors/interceptor_options.h>

#include "script.h"

namespace weft::echo_test {

enum class Flavour { kSync, kCallback, kCq, kGenericCq, kGenericCallback, kFiber };
std::ostream& operator<<(std::ostream& out, Flavour flavour);

/// A way to serve the Echo methods.
class EchoService {
 public:
  virtual ~EchoService() = default;
  virtual void Register(grpc::ServerBuilder& builder, bool guarded) = 0;
  /// Builds the server and serves; returns null when it could not.
  virtual grpc::Server* Start(grpc::ServerBuilder& builder);
  /// Cancels what is in flight, and ends queues and threads.
  virtual void Shutdown();

 protected:
  /// After BuildAndStart, and after Server::Shutdown.
  virtual void Serve() {}
  virtual void Stop() {}

 private:
  std::unique_ptr<grpc::Server> server_;
};

std::unique_ptr<EchoService> MakeSyncService(Progress& progress);
std::unique_ptr<EchoService> MakeCallbackService(Progress& progress);
std::unique_ptr<EchoService> MakeCqService(Progress& progress, int workers);
std::unique_ptr<EchoService> MakeGenericCqService(Progress& progress, int workers);
std::unique_ptr<EchoService> MakeGenericCallbackService(Progress& progress);
std::unique_ptr<EchoService> MakeFiberService(Progress& progress, int workers);

/// With `guarded` through weft, else with the builder alone.
void RegisterEcho(grpc::ServerBuilder& builder, grpc::Service& service, bool guarded);

/// An intercepted server of one flavour on a free port.
class EchoServer {
 public:
  /// Not `guarded`: the service is registered with the builder alone.
  EchoServer(Flavour flavour, InterceptorOptions options, int workers = 1, bool guarded = true);
  ~EchoServer() { Shutdown(); }

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
