// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>

#include <weft/async/context_of.h>
#include <weft/context/context_scope.h>
#include <weft/tracing/run.h>

#include "ping_handler.h"
#include "ping_service.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

class Threads {
 public:
  ~Threads() { Join(); }
  void Start(std::function<void()> body) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back(std::move(body));
  }
  void Join() {
    std::vector<std::thread> threads;
    {
      const std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;
};

class Signal {
 public:
  void Set(bool value) {
    const std::lock_guard lock(mutex_);
    set_ = true;
    value_ = value;
    changed_.notify_all();
  }
  bool Take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return set_; });
    set_ = false;
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
  bool value_ = false;
};

/// A reactor whose operations can be waited for by the thread of a script.
template <typename Base>
class BlockingReactor : public Base {
 public:
  template <typename T>
  bool Read(T* message) {
    this->StartRead(message);
    return read_.Take();
  }
  template <typename T>
  bool Write(const T& message) {
    this->StartWrite(&message);
    return written_.Take();
  }
  void WaitUntilCancelled() { cancelled_.Take(); }

  void OnReadDone(bool ok) { read_.Set(ok); }      // NOLINT: overrides where there is one
  void OnWriteDone(bool ok) { written_.Set(ok); }  // NOLINT
  void OnCancel() override { cancelled_.Set(true); }
  void OnDone() override { delete this; }

 private:
  Signal read_;
  Signal written_;
  Signal cancelled_;
};

/// Runs `script(reactor)` on a thread of its own, in the context that the call has.
template <typename Base, typename Script>
Base* Spawn(Threads& threads, grpc::CallbackServerContext* context, Script script) {
  if (BehaviourOf(*context) == behaviour::kThrow) throw std::runtime_error("the method broke");
  Run body("body");  // the ambient context is the call's here
  auto* reactor = new BlockingReactor<Base>;
  threads.Start([=] {
    grpc::Status status;
    {
      const ContextScope scope(ContextOf(*context));
      status = script(*reactor);
    }
    reactor->Finish(status);
  });
  return reactor;
}

template <typename Rpc>
class CallbackPing final : public PingService, public Rpc::Service::CallbackService {
 public:
  using Message = typename Rpc::Message;

  explicit CallbackPing(PingProgress& progress) : progress_(progress) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    return RegisterWith(builder, *this, guarded);
  }
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message* request,
                                  Message* reply) override {
    *reply = *request;
    return Respond<grpc::ServerUnaryReactor>(RpcKind::kUnary, context, reply);
  }
  grpc::ServerReadReactor<Message>* ClientStream(grpc::CallbackServerContext* context,
                                                 Message* reply) override {
    return Respond<grpc::ServerReadReactor<Message>>(RpcKind::kClientStream, context, reply);
  }
  grpc::ServerWriteReactor<Message>* ServerStream(grpc::CallbackServerContext* context,
                                                  const Message* /*request*/) override {
    return Respond<grpc::ServerWriteReactor<Message>>(RpcKind::kServerStream, context);
  }
  grpc::ServerBidiReactor<Message, Message>* Bidi(grpc::CallbackServerContext* context) override {
    return Respond<grpc::ServerBidiReactor<Message, Message>>(RpcKind::kBidiStream, context);
  }

 private:
  void Stop() override { threads_.Join(); }

  template <typename Base>
  Base* Respond(RpcKind kind, grpc::CallbackServerContext* context, Message* reply = nullptr) {
    return Spawn<Base>(threads_, context, [this, kind, context, reply](auto& reactor) {
      Peer peer{.read = {},
                .write = {},
                .wait_until_cancelled = [&] { reactor.WaitUntilCancelled(); },
                .set_reply = SetterOf(reply)};
      constexpr bool kBidi = std::is_same_v<Base, grpc::ServerBidiReactor<Message, Message>>;
      if constexpr (kBidi || std::is_same_v<Base, grpc::ServerReadReactor<Message>>) {
        peer.read = ReadingText<Message>([&](Message* m) { return reactor.Read(m); });
      }
      if constexpr (kBidi || std::is_same_v<Base, grpc::ServerWriteReactor<Message>>) {
        peer.write = WritingText<Message>([&](const Message& m) { return reactor.Write(m); });
      }
      return HandlePing(kind, *context, peer, progress_);
    });
  }

  PingProgress& progress_;
  Threads threads_;
};

template <typename Rpc>
class GenericCallbackPing final : public PingService, public grpc::CallbackGenericService {
 public:
  using Message = typename Rpc::Message;

  explicit GenericCallbackPing(PingProgress& progress) : progress_(progress) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    if (guarded) return weft::RegisterCallbackGenericService(builder, this);
    builder.RegisterCallbackGenericService(this);
    return absl::OkStatus();
  }
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const RpcKind kind = KindOfMethod(context->method());
    return Spawn<grpc::ServerGenericBidiReactor>(
        threads_, context, [this, kind, context](auto& reactor) {
          const auto read = [&](Message* m) {
            grpc::ByteBuffer buffer;
            return reactor.Read(&buffer) &&
                   grpc::SerializationTraits<Message>::Deserialize(&buffer, m).ok();
          };
          const auto write = [&](const Message& m) {
            grpc::ByteBuffer buffer;
            bool owned = false;
            return grpc::SerializationTraits<Message>::Serialize(m, &buffer, &owned).ok() &&
                   reactor.Write(buffer);
          };
          Message message;
          if (kind == RpcKind::kUnary || kind == RpcKind::kServerStream) read(&message);
          grpc::Status status =
              HandlePing(kind, *context,
                         {.read = ReadingText<Message>(read),
                          .write = WritingText<Message>(write),
                          .wait_until_cancelled = [&] { reactor.WaitUntilCancelled(); },
                          .set_reply = SetterOf(&message)},
                         progress_);
          const bool one_reply = kind == RpcKind::kUnary || kind == RpcKind::kClientStream;
          if (one_reply && status.ok()) write(message);
          return status;
        });
  }

 private:
  void Stop() override { threads_.Join(); }

  PingProgress& progress_;
  Threads threads_;
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
