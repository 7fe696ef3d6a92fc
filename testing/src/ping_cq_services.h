// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/async_generic_service.h>

#include <weft/async/context_of.h>
#include <weft/async/finish_thrown.h>
#include <weft/async/rejected.h>
#include <weft/context/context_scope.h>

#include "ping_handler.h"
#include "ping_service.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {
using ServerQueue = grpc::ServerCompletionQueue;

struct Tag {
  bool done = false;
  bool ok = false;
};

/// Serves one call at a time: so a thread can wait for one of its tags while others come.
inline bool Await(ServerQueue& queue, Tag& tag) {
  void* got = nullptr;
  bool ok = false;
  while (!tag.done && queue.Next(&got, &ok)) {
    static_cast<Tag*>(got)->done = true;
    static_cast<Tag*>(got)->ok = ok;
  }
  return tag.done && tag.ok;
}

/// Starts an operation with `start(tag)` and waits for it.
template <typename F>
bool Do(ServerQueue& queue, F&& start) {
  Tag tag;
  start(&tag);
  return Await(queue, tag);
}

/// The requests for calls: gRPC may lose one that runs into a shutdown.
class Requests {
 public:
  /// Makes a request with `start()`. False: there shall be no more.
  template <typename F>
  bool Make(F&& start) {
    const std::lock_guard lock(mutex_);
    if (!ended_) start();
    return !ended_;
  }
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }

 private:
  std::mutex mutex_;
  bool ended_ = false;
};

/// Threads with a queue each, that serve until the queue ends.
class Workers {
 public:
  using Serve = std::function<bool(ServerQueue&)>;  // one call; false: no more

  void Add(grpc::ServerBuilder& builder, Serve serve) {
    workers_.push_back({builder.AddCompletionQueue(), std::move(serve), {}});
  }
  void Start() {
    for (Worker& worker : workers_) {
      worker.thread = std::thread([&worker] {
        while (worker.serve(*worker.queue)) {
        }
      });
    }
  }
  Requests& requests() noexcept { return requests_; }
  void Stop() {
    for (Worker& worker : workers_) {
      if (worker.thread.joinable()) worker.thread.join();
      worker.queue->Shutdown();
      void* tag = nullptr;
      bool ok = false;
      while (worker.queue->Next(&tag, &ok)) {
      }
    }
  }

 private:
  struct Worker {
    std::unique_ptr<ServerQueue> queue;
    Serve serve;
    std::thread thread;
  };
  std::vector<Worker> workers_;
  Requests requests_;
};

/// One call: `request(context, tag)` accepts it, `handle(peer)` runs the script, `finish(status,
/// tag)` replies.
template <typename ServerContext, typename Request, typename Handle, typename Finish>
bool ServeOne(Requests& requests, ServerQueue& queue, ServerContext& context, Request request,
              Handle handle, Finish finish) {
  Tag closed;
  context.AsyncNotifyWhenDone(&closed);
  Tag arrived;
  if (!requests.Make([&] { request(&arrived); }) || !Await(queue, arrived)) return false;
  grpc::Status status;
  if (const grpc::Status* const rejected = Rejected(context)) {
    status = *rejected;
  } else {
    const ContextScope scope(ContextOf(context));
    try {
      status = handle([&] { Await(queue, closed); });
    } catch (...) {
      FinishThrown(
          [&](const grpc::Status& thrown) { Do(queue, [&](Tag* tag) { finish(thrown, tag); }); });
      Await(queue, closed);
      return true;
    }
    if (BehaviourOf(context) == behaviour::kForget) return true;
  }
  Do(queue, [&](Tag* tag) { finish(status, tag); });
  Await(queue, closed);
  return true;
}

template <typename Rpc>
class CqPing final : public PingService {
 public:
  using Message = typename Rpc::Message;

  CqPing(PingProgress& progress, int workers) : progress_(progress), count_(workers) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    absl::Status status = this->RegisterWith(builder, service_, guarded);
    if (!status.ok()) return status;
    for (int i = 0; i < count_; ++i) {
      workers_.Add(builder, [this](ServerQueue& queue) { return Unary(queue); });
      workers_.Add(builder, [this](ServerQueue& queue) { return ClientStream(queue); });
      workers_.Add(builder, [this](ServerQueue& queue) { return ServerStream(queue); });
      workers_.Add(builder, [this](ServerQueue& queue) { return Bidi(queue); });
    }
    return absl::OkStatus();
  }

 private:
  void Serve() override { workers_.Start(); }
  void AskNoMore() override { workers_.requests().End(); }
  void Stop() override { workers_.Stop(); }

  bool Unary(ServerQueue& queue) {
    grpc::ServerContext context;
    Message message;
    grpc::ServerAsyncResponseWriter<Message> writer(&context);
    return ServeOne(
        workers_.requests(), queue, context,
        [&](Tag* tag) { service_.RequestUnary(&context, &message, &writer, &queue, &queue, tag); },
        [&](auto wait) { return Run(RpcKind::kUnary, context, {}, {}, wait, &message); },
        [&](const grpc::Status& status, Tag* tag) { writer.Finish(message, status, tag); });
  }

  bool ClientStream(ServerQueue& queue) {
    grpc::ServerContext context;
    Message message;
    grpc::ServerAsyncReader<Message, Message> reader(&context);
    return ServeOne(
        workers_.requests(), queue, context,
        [&](Tag* tag) { service_.RequestClientStream(&context, &reader, &queue, &queue, tag); },
        [&](auto wait) {
          return Run(
              RpcKind::kClientStream, context,
              [&](Message* m) { return Do(queue, [&](Tag* tag) { reader.Read(m, tag); }); }, {},
              wait, &message);
        },
        [&](const grpc::Status& status, Tag* tag) { reader.Finish(message, status, tag); });
  }

  bool ServerStream(ServerQueue& queue) {
    grpc::ServerContext context;
    Message message;
    grpc::ServerAsyncWriter<Message> writer(&context);
    return ServeOne(
        workers_.requests(), queue, context,
        [&](Tag* tag) {
          service_.RequestServerStream(&context, &message, &writer, &queue, &queue, tag);
        },
        [&](auto wait) {
          return Run(
              RpcKind::kServerStream, context, {},
              [&](const Message& m) { return Do(queue, [&](Tag* tag) { writer.Write(m, tag); }); },
              wait);
        },
        [&](const grpc::Status& status, Tag* tag) { writer.Finish(status, tag); });
  }

  bool Bidi(ServerQueue& queue) {
    grpc::ServerContext context;
    grpc::ServerAsyncReaderWriter<Message, Message> stream(&context);
    return ServeOne(
        workers_.requests(), queue, context,
        [&](Tag* tag) { service_.RequestBidi(&context, &stream, &queue, &queue, tag); },
        [&](auto wait) {
          return Run(
              RpcKind::kBidiStream, context,
              [&](Message* m) { return Do(queue, [&](Tag* tag) { stream.Read(m, tag); }); },
              [&](const Message& m) { return Do(queue, [&](Tag* tag) { stream.Write(m, tag); }); },
              wait);
        },
        [&](const grpc::Status& status, Tag* tag) { stream.Finish(status, tag); });
  }

  grpc::Status Run(RpcKind kind, grpc::ServerContext& context, std::function<bool(Message*)> read,
                   std::function<bool(const Message&)> write, std::function<void()> wait,
                   Message* reply = nullptr) {
    return HandlePing(kind, context,
                      {.read = ReadingText<Message>(std::move(read)),
                       .write = WritingText<Message>(std::move(write)),
                       .wait_until_cancelled = std::move(wait),
                       .set_reply = SetterOf(reply)},
                      progress_);
  }

  typename Rpc::Service::AsyncService service_;
  PingProgress& progress_;
  int count_;
  Workers workers_;
};

template <typename Rpc>
class GenericCqPing final : public PingService {
 public:
  using Message = typename Rpc::Message;

  GenericCqPing(PingProgress& progress, int workers) : progress_(progress), count_(workers) {}

  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    if (guarded) {
      absl::Status status = RegisterAsyncGenericService(builder, &service_);
      if (!status.ok()) return status;
    } else {
      builder.RegisterAsyncGenericService(&service_);
    }
    for (int i = 0; i < count_; ++i) {
      workers_.Add(builder, [this](ServerQueue& queue) { return ServeCall(queue); });
    }
    return absl::OkStatus();
  }

 private:
  void Serve() override { workers_.Start(); }
  void AskNoMore() override { workers_.requests().End(); }
  void Stop() override { workers_.Stop(); }

  bool ServeCall(ServerQueue& queue) {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    const auto read = [&](Message* m) {
      grpc::ByteBuffer buffer;
      return Do(queue, [&](Tag* tag) { stream.Read(&buffer, tag); }) &&
             grpc::SerializationTraits<Message>::Deserialize(&buffer, m).ok();
    };
    const auto write = [&](const Message& m) {
      grpc::ByteBuffer buffer;
      bool owned = false;
      return grpc::SerializationTraits<Message>::Serialize(m, &buffer, &owned).ok() &&
             Do(queue, [&](Tag* tag) { stream.Write(buffer, tag); });
    };
    return ServeOne(
        workers_.requests(), queue, context,
        [&](Tag* tag) { service_.RequestCall(&context, &stream, &queue, &queue, tag); },
        [&](auto wait) {
          const RpcKind kind = KindOfMethod(context.method());
          Message message;
          if (kind == RpcKind::kUnary || kind == RpcKind::kServerStream) read(&message);
          grpc::Status status = HandlePing(kind, context,
                                           {.read = ReadingText<Message>(read),
                                            .write = WritingText<Message>(write),
                                            .wait_until_cancelled = wait,
                                            .set_reply = SetterOf(&message)},
                                           progress_);
          const bool one_reply = kind == RpcKind::kUnary || kind == RpcKind::kClientStream;
          if (one_reply && status.ok()) write(message);
          return status;
        },
        [&](const grpc::Status& status, Tag* tag) { stream.Finish(status, tag); });
  }

  grpc::AsyncGenericService service_;
  PingProgress& progress_;
  int count_;
  Workers workers_;
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
