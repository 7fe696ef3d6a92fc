// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>

#include <absl/status/status.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/guard.h>
#include <weft/testing/ping_server.h>

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

/// A way to serve the methods of Ping, or of another service that looks like it.
class PingService {
 public:
  virtual ~PingService() = default;
  virtual absl::Status Register(grpc::ServerBuilder& builder, bool guarded) = 0;

  /// Builds the server and serves. Null: gRPC could not.
  virtual grpc::Server* Start(grpc::ServerBuilder& builder) {
    server_ = builder.BuildAndStart();
    if (server_ != nullptr) Serve();
    return server_.get();
  }
  /// Cancels what is in flight, and ends queues and threads.
  virtual void Shutdown() {
    AskNoMore();
    server_->Shutdown(std::chrono::system_clock::now());
    Stop();
    server_.reset();
  }

 protected:
  /// After BuildAndStart, and after Server::Shutdown.
  virtual void Serve() {}
  /// Before Server::Shutdown, which may lose a request for a call that runs into it.
  virtual void AskNoMore() {}
  virtual void Stop() {}

  static absl::Status RegisterWith(grpc::ServerBuilder& builder, grpc::Service& service,
                                   bool guarded) {
    if (guarded) return RegisterService(builder, &service);
    builder.RegisterService(&service);
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
