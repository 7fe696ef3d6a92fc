// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <grpcpp/grpcpp.h>

#include "rpc_benchmark.grpc.pb.h"
#include "rpc_setup.h"

namespace bench {

// Services whose handlers gRPC calls: they answer what they get.

class SyncEcho final : public Echo::Service {
 public:
  explicit SyncEcho(const Instruments& instruments) : instruments_(instruments) {}

 private:
  grpc::Status Unary(grpc::ServerContext* context, const Message* request,
                     Message* response) override {
    HandlerSpan span;
    span.Start(instruments_, "Unary", "unary", *context);
    *response = *request;
    span.End(grpc::Status::OK);
    return grpc::Status::OK;
  }
  grpc::Status Stream(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<Message, Message>* stream) override {
    HandlerSpan span;
    span.Start(instruments_, "Stream", "bidi_stream", *context);
    Message message;
    while (stream->Read(&message)) stream->Write(message);
    span.End(grpc::Status::OK);
    return grpc::Status::OK;
  }

  const Instruments& instruments_;
};

class CallbackEcho final : public Echo::CallbackService {
 public:
  explicit CallbackEcho(const Instruments& instruments) : instruments_(instruments) {}

 private:
  class Reactor final : public grpc::ServerBidiReactor<Message, Message> {
   public:
    explicit Reactor(HandlerSpan span) : span_(std::move(span)) { StartRead(&message_); }
    void OnReadDone(bool ok) override {
      if (ok) return StartWrite(&message_);
      span_.End(grpc::Status::OK);
      Finish(grpc::Status::OK);
    }
    void OnWriteDone(bool /*ok*/) override { StartRead(&message_); }
    void OnDone() override { delete this; }

   private:
    HandlerSpan span_;
    Message message_;
  };

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                  Message* response) override {
    HandlerSpan span;
    span.Start(instruments_, "Unary", "unary", *context);
    *response = *request;
    span.End(grpc::Status::OK);
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerBidiReactor<Message, Message>* Stream(grpc::CallbackServerContext* context) override {
    HandlerSpan span;
    span.Start(instruments_, "Stream", "bidi_stream", *context);
    return new Reactor(std::move(span));
  }

  const Instruments& instruments_;
};

}  // namespace bench
