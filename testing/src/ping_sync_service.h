// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>
#include <utility>

#include "ping_handler.h"
#include "ping_service.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

template <typename Rpc>
class SyncPing final : public PingService, public Rpc::Service::Service {
 public:
  using Message = typename Rpc::Message;

  explicit SyncPing(PingProgress& progress) : progress_(progress) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    return RegisterWith(builder, *this, guarded);
  }

  grpc::Status Unary(grpc::ServerContext* context, const Message* request,
                     Message* reply) override {
    *reply = *request;
    return Run(RpcKind::kUnary, context, {}, {}, reply);
  }
  grpc::Status ClientStream(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                            Message* reply) override {
    return Run(
        RpcKind::kClientStream, context, [=](Message* m) { return reader->Read(m); }, {}, reply);
  }
  grpc::Status ServerStream(grpc::ServerContext* context, const Message* /*request*/,
                            grpc::ServerWriter<Message>* writer) override {
    return Run(RpcKind::kServerStream, context, {},
               [=](const Message& m) { return writer->Write(m); });
  }
  grpc::Status Bidi(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<Message, Message>* stream) override {
    return Run(
        RpcKind::kBidiStream, context, [=](Message* m) { return stream->Read(m); },
        [=](const Message& m) { return stream->Write(m); });
  }

 private:
  grpc::Status Run(RpcKind kind, grpc::ServerContext* context, std::function<bool(Message*)> read,
                   std::function<bool(const Message&)> write, Message* reply = nullptr) {
    return HandlePing(kind, *context,
                      {.read = ReadingText<Message>(std::move(read)),
                       .write = WritingText<Message>(std::move(write)),
                       .wait_until_cancelled =
                           [=] {
                             while (!context->IsCancelled()) std::this_thread::yield();
                           },
                       .set_reply = SetterOf(reply)},
                      progress_);
  }

  PingProgress& progress_;
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
