// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/status.h>

#include <weft/async/fiber_operation.h>
#include <weft/async/internal/call_sentinel.h>
#include <weft/async/internal/call_stack.h>
#include <weft/async/internal/fiber_watch.h>
#include <weft/async/internal/thrown.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {
namespace internal {

class FiberLoop;
class FiberCall;

/// Makes the calls of one method, each in `bytes` of memory.
struct FiberMethod {
  std::size_t bytes;
  std::function<FiberCall*(void* memory)> make;
};

/// One call of a FiberServer, from the wish for it to its end. All of it happens on the thread of
/// its loop.
class FiberCall : public CompletionHandler {
 public:
  virtual ~FiberCall() = default;

  grpc::ServerContext& context() noexcept { return context_; }

  /// Asks gRPC for the next call of the method; Complete tells that it has arrived.
  virtual void Request(grpc::ServerCompletionQueue* queue) = 0;
  /// Tells a watch that the call has arrived.
  virtual void Begin(FiberWatch& watch, grpc::CompletionQueue* queue) noexcept = 0;
  /// Runs the handler in the current fiber and sends its status.
  virtual void Run() = 0;
  /// Sends a status in the place of a handler, or with what it left.
  virtual void Reply(const grpc::Status& status) = 0;

  void Complete(bool ok) noexcept final;

 protected:
  template <typename Handler>
  grpc::Status CallHandler(Handler handler) {
    try {
      return handler();
    } catch (...) {
      thrown_ = std::current_exception();
    }
    return ThrownStatus();
  }

  /// Does not wait: the fiber may end while its status is on the way.
  template <typename Start>
  void Finish(Start start) {
    ++references_;
    HoldNextEvent();
    const auto send = [&] { OnCallStack([&] { start(sent_.tag()); }); };
    const bool hooked = intercepted_ && context_.watch == nullptr;
    if (!hooked && thrown_ == nullptr) return send();
    Context context = Context::Current();
    if (hooked) context = context.With(kFiberCallKey, &context_);
    if (thrown_ != nullptr) context = context.With(kThrownKey, thrown_);
    const ContextScope scope(std::move(context));
    send();
  }

  FiberServerContext context_;

 private:
  friend class FiberLoop;
  // Tags of what ends a call: its status went out, and gRPC is done with it.
  class Sent final : public CompletionHandler {
   public:
    explicit Sent(FiberCall* call) noexcept : call_(call) {}
    void Complete(bool ok) noexcept override {
      if (FiberWatch* const watch = call_->context_.watch.get(); watch != nullptr && !ok) {
        watch->SendFailed();
      }
      call_->Release();
    }

   private:
    FiberCall* const call_;
  };
  class Closed final : public CompletionHandler {
   public:
    explicit Closed(FiberCall* call) noexcept : call_(call) {}
    void Complete(bool) noexcept override {
      if (FiberWatch* const watch = call_->context_.watch.get()) watch->PeerClosed();
      call_->Release();
    }

   private:
    FiberCall* const call_;
  };

  void Release() noexcept {
    if (--references_ == 0) End();
  }
  void End() noexcept;
  /// Its reply goes out next: the loop takes the event when Run or Reply has returned.
  void HoldNextEvent() noexcept;

  Sent sent_{this};
  Closed closed_{this};
  FiberLoop* loop_ = nullptr;
  std::size_t method_ = 0;
  int references_ = 1;
  bool intercepted_ = false;  // by an interceptor of ours
  std::exception_ptr thrown_;
};

template <typename Request>
using AsyncReader = grpc::internal::AsyncReaderInterface<Request>;
template <typename Response>
using AsyncWriter = grpc::internal::AsyncWriterInterface<Response>;

/// `Ask` is the generated method that asks for a call: it takes what stands before the queues.
/// `Handle` takes the server context, and what the handler takes after it.
template <typename Responder, typename Ask, typename Handle>
class StreamCall final : public FiberCall {
 public:
  StreamCall(Ask ask, const Handle* handle) : ask_(std::move(ask)), handle_(handle) {}

  void Request(grpc::ServerCompletionQueue* queue) override {
    ask_(queue, tag(), &context_, &responder_);
  }
  void Begin(FiberWatch& watch, grpc::CompletionQueue* queue) noexcept override {
    watch.Begin(responder_, queue, nullptr);
  }
  void Run() override {
    Reply(CallHandler([&] { return (*handle_)(&context_, responder_); }));
  }
  void Reply(const grpc::Status& status) override {
    Finish([&](void* tag) { responder_.Finish(status, tag); });
  }

 private:
  const Ask ask_;
  const Handle* const handle_;
  Responder responder_{&context_};
};

/// With a request that arrives together with the call.
template <typename Message, typename Responder, typename Ask, typename Handle>
class RequestStreamCall final : public FiberCall {
 public:
  RequestStreamCall(Ask ask, const Handle* handle) : ask_(std::move(ask)), handle_(handle) {}

  void Request(grpc::ServerCompletionQueue* queue) override {
    ask_(queue, tag(), &context_, &request_, &responder_);
  }
  void Begin(FiberWatch& watch, grpc::CompletionQueue* queue) noexcept override {
    watch.Begin(responder_, queue, &request_);
  }
  void Run() override {
    Reply(CallHandler([&] { return (*handle_)(&context_, request_, responder_); }));
  }
  void Reply(const grpc::Status& status) override {
    Finish([&](void* tag) { responder_.Finish(status, tag); });
  }

 private:
  const Ask ask_;
  const Handle* const handle_;
  Message request_;
  Responder responder_{&context_};
};

/// With one response. `Message` is void if the requests come as a stream.
template <typename Message, typename Response, typename Responder, typename Ask, typename Handle>
class ResponseCall final : public FiberCall {
 public:
  ResponseCall(Ask ask, const Handle* handle) : ask_(std::move(ask)), handle_(handle) {}

  void Request(grpc::ServerCompletionQueue* queue) override {
    if constexpr (kStreams) {
      ask_(queue, tag(), &context_, &responder_);
    } else {
      ask_(queue, tag(), &context_, &request_, &responder_);
    }
  }
  void Begin(FiberWatch& watch, grpc::CompletionQueue* queue) noexcept override {
    void* request = nullptr;
    if constexpr (!kStreams) request = &request_;
    watch.Begin(responder_, queue, request);
  }
  void Run() override {
    Reply(CallHandler([&] {
      if constexpr (kStreams) {
        return (*handle_)(&context_, responder_, &response_);
      } else {
        return (*handle_)(&context_, &request_, &response_);
      }
    }));
  }
  void Reply(const grpc::Status& status) override {
    Finish([&](void* tag) {
      if (status.ok()) {
        responder_.Finish(response_, status, tag);
      } else {
        responder_.FinishWithError(status, tag);
      }
    });
  }

 private:
  static constexpr bool kStreams = std::is_void_v<Message>;
  struct Nothing {};

  const Ask ask_;
  const Handle* const handle_;
  [[no_unique_address]] std::conditional_t<kStreams, Nothing, Message> request_;
  Response response_;
  Responder responder_{&context_};
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
