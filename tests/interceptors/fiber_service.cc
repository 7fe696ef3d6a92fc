// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <boost/fiber/operations.hpp>

#include <weft/async/fiber_server.h>

#include "echo.grpc.pb.h"
#include "echo_server.h"

namespace weft::echo_test {
namespace {

using ::echo::Message;

class FiberService final : public EchoService {
 public:
  FiberService(Progress& progress, int workers)
      : progress_(progress), server_({.threads = workers}) {}

  void Register(grpc::ServerBuilder& builder, bool guarded) override {
    RegisterEcho(builder, service_, guarded);
    using Async = ::echo::Echo::AsyncService;
    server_.Handle(&service_, &Async::RequestUnary,
                   [this](grpc::ServerContext* context, const Message* request, Message* reply) {
                     *reply = *request;
                     return Run(RpcKind::kUnary, context, {.reply = reply});
                   });
    server_.Handle(
        &service_, &Async::RequestClientStream,
        [this](grpc::ServerContext* context, RequestReader<Message>& reader, Message* reply) {
          return Run(RpcKind::kClientStream, context,
                     {.read = [&](Message* m) { return reader.Read(m); }, .reply = reply});
        });
    server_.Handle(&service_, &Async::RequestServerStream,
                   [this](grpc::ServerContext* context, const Message* /*request*/,
                          ResponseWriter<Message>& writer) {
                     return Run(RpcKind::kServerStream, context,
                                {.write = [&](const Message& m) { return writer.Write(m); }});
                   });
    server_.Handle(
        &service_, &Async::RequestBidi,
        [this](grpc::ServerContext* context, RequestResponseStream<Message, Message>& stream) {
          return Run(RpcKind::kBidiStream, context,
                     {.read = [&](Message* m) { return stream.Read(m); },
                      .write = [&](const Message& m) { return stream.Write(m); }});
        });
  }

  grpc::Server* Start(grpc::ServerBuilder& builder) override {
    const absl::Status status = server_.Start(builder);
    EXPECT_TRUE(status.ok()) << std::string(status.message());
    return server_.server();
  }
  void Shutdown() override { server_.Shutdown(std::chrono::system_clock::now()); }

 private:
  grpc::Status Run(RpcKind kind, grpc::ServerContext* context, Peer peer) {
    peer.wait_until_cancelled = [=] {
      while (!context->IsCancelled()) boost::this_fiber::yield();
    };
    return RunScript(kind, *context, peer, progress_);
  }

  ::echo::Echo::AsyncService service_;
  Progress& progress_;
  FiberServer server_;
};

}  // namespace

std::unique_ptr<EchoService> MakeFiberService(Progress& progress, int workers) {
  return std::make_unique<FiberService>(progress, workers);
}

}  // namespace weft::echo_test
