// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <boost/fiber/operations.hpp>

#include <weft/async/fiber_server.h>

#include "ping_handler.h"
#include "ping_service.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

template <typename Rpc>
class FiberPing final : public PingService {
 public:
  using Message = typename Rpc::Message;

  FiberPing(PingProgress& progress, int workers)
      : progress_(progress), server_({.threads = workers}) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    using Async = typename Rpc::Service::AsyncService;
    server_.Handle(&service_, &Async::RequestUnary,
                   [this](grpc::ServerContext* context, const Message* request, Message* reply) {
                     *reply = *request;
                     return Run(RpcKind::kUnary, context, {.set_reply = SetterOf(reply)});
                   });
    server_.Handle(
        &service_, &Async::RequestClientStream,
        [this](grpc::ServerContext* context, RequestReader<Message>& reader, Message* reply) {
          return Run(RpcKind::kClientStream, context,
                     {.read = ReadingText<Message>([&](Message* m) { return reader.Read(m); }),
                      .set_reply = SetterOf(reply)});
        });
    server_.Handle(
        &service_, &Async::RequestServerStream,
        [this](grpc::ServerContext* context, const Message* /*request*/,
               ResponseWriter<Message>& writer) {
          return Run(
              RpcKind::kServerStream, context,
              {.write = WritingText<Message>([&](const Message& m) { return writer.Write(m); })});
        });
    server_.Handle(
        &service_, &Async::RequestBidi,
        [this](grpc::ServerContext* context, RequestResponseStream<Message, Message>& stream) {
          return Run(
              RpcKind::kBidiStream, context,
              {.read = ReadingText<Message>([&](Message* m) { return stream.Read(m); }),
               .write = WritingText<Message>([&](const Message& m) { return stream.Write(m); })});
        });
    return RegisterWith(builder, service_, guarded);
  }

  grpc::Server* Start(grpc::ServerBuilder& builder) override {
    return server_.Start(builder).ok() ? server_.server() : nullptr;
  }
  void Shutdown() override { server_.Shutdown(std::chrono::system_clock::now()); }

 private:
  grpc::Status Run(RpcKind kind, grpc::ServerContext* context, Peer peer) {
    peer.wait_until_cancelled = [=] {
      while (!context->IsCancelled()) boost::this_fiber::yield();
    };
    return HandlePing(kind, *context, peer, progress_);
  }

  typename Rpc::Service::AsyncService service_;
  PingProgress& progress_;
  FiberServer server_;
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
