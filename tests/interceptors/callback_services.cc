// SPDX-License-Identifier: Apache-2.0
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <gtest/gtest.h>

#include <weft/async/context_of.h>
#include <weft/context/context_scope.h>
#include <weft/tracing/run.h>

#include "echo.grpc.pb.h"
#include "echo_server.h"

namespace weft::echo_test {
namespace {

using ::echo::Message;

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
  if (BehaviourOf(*context) == kThrow) throw std::runtime_error("the method broke");
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

class CallbackService final : public EchoService, public ::echo::Echo::CallbackService {
 public:
  explicit CallbackService(Progress& progress) : progress_(progress) {}

  void Register(grpc::ServerBuilder& builder, bool guarded) override {
    RegisterEcho(builder, *this, guarded);
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
                .reply = reply};
      constexpr bool kBidi = std::is_same_v<Base, grpc::ServerBidiReactor<Message, Message>>;
      if constexpr (kBidi || std::is_same_v<Base, grpc::ServerReadReactor<Message>>) {
        peer.read = [&](Message* m) { return reactor.Read(m); };
      }
      if constexpr (kBidi || std::is_same_v<Base, grpc::ServerWriteReactor<Message>>) {
        peer.write = [&](const Message& m) { return reactor.Write(m); };
      }
      return RunScript(kind, *context, peer, progress_);
    });
  }

  Progress& progress_;
  Threads threads_;
};

class GenericCallbackService final : public EchoService, public grpc::CallbackGenericService {
 public:
  explicit GenericCallbackService(Progress& progress) : progress_(progress) {}

  void Register(grpc::ServerBuilder& builder, bool guarded) override {
    if (guarded) {
      EXPECT_TRUE(RegisterCallbackGenericService(builder, this).ok());
    } else {
      builder.RegisterCallbackGenericService(this);
    }
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
              RunScript(kind, *context,
                        {.read = read,
                         .write = write,
                         .wait_until_cancelled = [&] { reactor.WaitUntilCancelled(); },
                         .reply = &message},
                        progress_);
          const bool one_reply = kind == RpcKind::kUnary || kind == RpcKind::kClientStream;
          if (one_reply && status.ok()) write(message);
          return status;
        });
  }

 private:
  void Stop() override { threads_.Join(); }

  Progress& progress_;
  Threads threads_;
};

}  // namespace

std::unique_ptr<EchoService> MakeCallbackService(Progress& progress) {
  return std::make_unique<CallbackService>(progress);
}

std::unique_ptr<EchoService> MakeGenericCallbackService(Progress& progress) {
  return std::make_unique<GenericCallbackService>(progress);
}

}  // namespace weft::echo_test
