// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <weft/testing/ping_client.h>
#include <weft/testing/ping_server.h>

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

/// Waits for one operation at a time.
class ClientQueue {
 public:
  ~ClientQueue() {
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  grpc::CompletionQueue* get() noexcept { return &queue_; }
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

 private:
  grpc::CompletionQueue queue_;
};

/// The calls of ping_client.h, to the service of `Rpc`.
template <typename Rpc>
class PingCalls {
 public:
  using Message = typename Rpc::Message;
  using Stub = typename Rpc::Service::Stub;

  /// `/package.Service/Unary` ...
  static std::string NameOf(RpcKind kind) {
    return std::string("/") + Rpc::kService + "/" + PingMethodName(kind);
  }

  static grpc::Status Sync(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                           grpc::ClientContext& context, const std::string& text) {
    const auto stub = Rpc::Service::NewStub(channel);
    const Message request = RequestOf(text);
    Message reply;
    switch (kind) {
      case RpcKind::kUnary:
        return stub->Unary(&context, request, &reply);
      case RpcKind::kClientStream: {
        auto call = stub->ClientStream(&context, &reply);
        if (call->Write(request) && call->Write(request)) call->WritesDone();
        return call->Finish();
      }
      case RpcKind::kServerStream: {
        auto call = stub->ServerStream(&context, request);
        while (call->Read(&reply)) {
        }
        return call->Finish();
      }
      default: {
        auto call = stub->Bidi(&context);
        for (int i = 0; i < 2; ++i) {
          if (!call->Write(request) || !call->Read(&reply)) break;
        }
        call->WritesDone();
        while (call->Read(&reply)) {
        }
        return call->Finish();
      }
    }
  }

  static grpc::Status Method(const std::string& method,
                             const std::shared_ptr<grpc::Channel>& channel,
                             grpc::ClientContext& context, const std::string& text) {
    ClientQueue queue;
    grpc::GenericStub stub(channel);
    const grpc::Slice bytes(RequestOf(text).SerializeAsString());
    const grpc::ByteBuffer request(&bytes, 1);
    grpc::ByteBuffer reply;
    grpc::Status status;
    auto call = stub.PrepareUnaryCall(&context, method, request, queue.get());
    call->StartCall();
    call->Finish(&reply, &status, &queue);
    queue.Next();
    return status;
  }

  static grpc::Status Malformed(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                                grpc::ClientContext& context) {
    ClientQueue queue;
    grpc::GenericStub stub(channel);
    grpc::Slice garbage("\xff\xff no message");
    grpc::ByteBuffer message(&garbage, 1);
    grpc::Status status;
    const auto call = stub.PrepareCall(&context, NameOf(kind), queue.get());
    call->StartCall(&queue);
    bool ok = queue.Next();
    if (ok) {
      call->WriteLast(message, grpc::WriteOptions(), &queue);
      ok = queue.Next();
    }
    while (ok) {
      call->Read(&message, &queue);
      ok = queue.Next();
    }
    call->Finish(&status, &queue);
    queue.Next();
    return status;
  }

  static grpc::Status Call(ClientFlavour api, RpcKind kind,
                           const std::shared_ptr<grpc::Channel>& channel,
                           grpc::ClientContext& context, const std::string& text) {
    switch (api) {
      case ClientFlavour::kSync:
        return Sync(kind, channel, context, text);
      case ClientFlavour::kCallback:
        return Callback(kind, *Rpc::Service::NewStub(channel), context, RequestOf(text));
      case ClientFlavour::kCq:
        return Cq(kind, *Rpc::Service::NewStub(channel), context, RequestOf(text));
      default:
        return Method(NameOf(kind), channel, context, text);
    }
  }

  static void Drop(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
                   grpc::ClientContext& context, const std::function<void()>& once_started) {
    const auto stub = Rpc::Service::NewStub(channel);
    Message reply;
    if (kind == RpcKind::kClientStream) {
      const auto call = stub->ClientStream(&context, &reply);
      once_started();
    } else if (kind == RpcKind::kServerStream) {
      const auto call = stub->ServerStream(&context, Message());
      once_started();
    } else {
      const auto call = stub->Bidi(&context);
      once_started();
    }
  }

  static void PrepareAndDrop(const std::shared_ptr<grpc::Channel>& channel) {
    ClientQueue queue;
    grpc::ClientContext context;
    const auto call = Rpc::Service::NewStub(channel)->PrepareAsyncBidi(&context, queue.get());
  }

 private:
  static Message RequestOf(const std::string& text) {
    Message request;
    request.set_text(text);
    return request;
  }

  static grpc::Status Cq(RpcKind kind, Stub& stub, grpc::ClientContext& context,
                         const Message& request) {
    ClientQueue queue;
    Message message;
    grpc::Status status;
    void* const tag = &queue;
    switch (kind) {
      case RpcKind::kUnary: {
        auto call = stub.AsyncUnary(&context, request, queue.get());
        call->Finish(&message, &status, tag);
        queue.Next();
        break;
      }
      case RpcKind::kClientStream: {
        auto call = stub.AsyncClientStream(&context, &message, queue.get(), tag);
        bool ok = queue.Next();
        for (int i = 0; ok && i < 2; ++i) {
          call->Write(request, tag);
          ok = queue.Next();
        }
        if (ok) {
          call->WritesDone(tag);
          queue.Next();
        }
        call->Finish(&status, tag);
        queue.Next();
        break;
      }
      case RpcKind::kServerStream: {
        auto call = stub.AsyncServerStream(&context, request, queue.get(), tag);
        queue.Next();
        do {
          call->Read(&message, tag);
        } while (queue.Next());
        call->Finish(&status, tag);
        queue.Next();
        break;
      }
      case RpcKind::kBidiStream: {
        auto call = stub.AsyncBidi(&context, queue.get(), tag);
        bool ok = queue.Next();
        for (int i = 0; ok && i < 2; ++i) {
          call->Write(request, tag);
          ok = queue.Next();
          if (!ok) break;
          call->Read(&message, tag);
          ok = queue.Next();
        }
        if (ok) {
          call->WritesDone(tag);
          queue.Next();
          call->Read(&message, tag);
          queue.Next();
        }
        call->Finish(&status, tag);
        queue.Next();
        break;
      }
    }
    return status;
  }

  class WriteReactor : public grpc::ClientWriteReactor<Message> {
   public:
    void OnWriteDone(bool ok) override {
      if (ok && ++written_ < 2) {
        this->StartWrite(&request);
      } else {
        this->StartWritesDone();
      }
    }
    void OnDone(const grpc::Status& status) override { done.set_value(status); }
    std::promise<grpc::Status> done;
    Message request;

   private:
    int written_ = 0;
  };

  class ReadReactor : public grpc::ClientReadReactor<Message> {
   public:
    void OnReadDone(bool ok) override {
      if (ok) this->StartRead(&reply);
    }
    void OnDone(const grpc::Status& status) override { done.set_value(status); }
    std::promise<grpc::Status> done;
    Message reply;
  };

  class BidiReactor : public grpc::ClientBidiReactor<Message, Message> {
   public:
    void OnWriteDone(bool ok) override {
      if (ok) this->StartRead(&reply);
    }
    void OnReadDone(bool ok) override {
      if (!ok) return;
      if (++read_ < 2) {
        this->StartWrite(&request);
      } else if (read_ == 2) {
        this->StartWritesDone();
        this->StartRead(&reply);
      }
    }
    void OnDone(const grpc::Status& status) override { done.set_value(status); }
    std::promise<grpc::Status> done;
    Message request;
    Message reply;

   private:
    int read_ = 0;
  };

  static grpc::Status Callback(RpcKind kind, Stub& stub, grpc::ClientContext& context,
                               const Message& request) {
    Message reply;
    switch (kind) {
      case RpcKind::kUnary: {
        std::promise<grpc::Status> done;
        stub.async()->Unary(&context, &request, &reply,
                            [&](const grpc::Status& status) { done.set_value(status); });
        return done.get_future().get();
      }
      case RpcKind::kClientStream: {
        WriteReactor reactor;
        reactor.request = request;
        stub.async()->ClientStream(&context, &reply, &reactor);
        reactor.StartWrite(&reactor.request);
        reactor.StartCall();
        return reactor.done.get_future().get();
      }
      case RpcKind::kServerStream: {
        ReadReactor reactor;
        stub.async()->ServerStream(&context, &request, &reactor);
        reactor.StartRead(&reactor.reply);
        reactor.StartCall();
        return reactor.done.get_future().get();
      }
      default: {
        BidiReactor reactor;
        reactor.request = request;
        stub.async()->Bidi(&context, &reactor);
        reactor.StartWrite(&reactor.request);
        reactor.StartCall();
        return reactor.done.get_future().get();
      }
    }
  }
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
