// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <grpcpp/completion_queue.h>

#include <weft/async/internal/queue_tag.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {

/// A completion queue whose events bring back the context in which their operation was started.
///
///     weft::ContextCompletionQueue<Call> queue;
///     auto reader = stub->AsyncAsk(&client_context, question, queue.queue());
///     reader->Finish(&answer, &status, queue.Tag(call));                  // `call` is a Call*
///     reader->Finish(&answer, &status, queue.Tag([&](bool ok) { ... }));  // or a function
///
///     queue.Run([](Call* call, bool ok) { call->Proceed(ok); });  // on each polling thread
///
/// Functions run inside `Run` and `Next`, in their context. So a program may use them alone, with a
/// handler of `Run` that has nothing to do.
///
/// With `Queue` as `grpc::ServerCompletionQueue` it takes the queue of a server. A call that
/// arrives was not started by anybody here, so request it with a tag of the root and open a scope
/// of `ContextOf(server_context)` when it is there.
///
/// Ownership: the queue is its own; the operations are not. What operations still hold after
///   `Shutdown` comes out of `Next` as usual; the destructor shuts down and drops it, and functions
///   run there.
/// Threads: any number may call everything but the destructor.
/// Tags: every operation of the queue has a tag of `Tag`, and each tag serves one operation, which
///   must be started: a tag whose operation never starts is lost, with its context.
/// Cost: a tag takes no allocation once some have come back, unless a function is larger than
///   112 bytes or may throw when it is moved; see bench/context_benchmark.cc.
template <typename Operation, typename Queue = grpc::CompletionQueue>
class ContextCompletionQueue final {
 public:
  /// What came out. Open a `ContextScope` of `context` around what you do with it.
  struct Event {
    Operation* operation = nullptr;
    bool ok = false;
    Context context;
  };

  ContextCompletionQueue() requires std::same_as<Queue, grpc::CompletionQueue>
      : queue_(std::make_unique<Queue>()) {}
  explicit ContextCompletionQueue(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}
  ~ContextCompletionQueue() {
    Shutdown();
    for (Event event; Next(&event);) event.context = Context();
  }
  ContextCompletionQueue(const ContextCompletionQueue&) = delete;
  ContextCompletionQueue& operator=(const ContextCompletionQueue&) = delete;

  /// To hand to gRPC where it wants a queue.
  Queue* queue() noexcept { return queue_.get(); }

  /// A tag for one operation that is started now, in `context`, or in the current one.
  void* Tag(Operation* operation, Context context) noexcept {
    return internal::MakeTag(std::move(context), operation);
  }
  void* Tag(Operation* operation) noexcept { return Tag(operation, Context::Current()); }

  template <std::invocable<bool> Function>
  void* Tag(Function&& function, Context context) {
    return internal::MakeCallableTag(std::move(context), std::forward<Function>(function));
  }
  template <std::invocable<bool> Function>
  void* Tag(Function&& function) {
    return Tag(std::forward<Function>(function), Context::Current());
  }

  /// Waits for the next operation that is not a function. False: the queue is shut down and empty.
  bool Next(Event* event) {
    void* tag = nullptr;
    bool ok = false;
    while (queue_->Next(&tag, &ok)) {
      if (Unwrap(tag, ok, event)) return true;
    }
    return false;
  }

  /// Waits for one event until `deadline`. A function is run, and `event->operation` is null then.
  template <typename Deadline>
  grpc::CompletionQueue::NextStatus AsyncNext(Event* event, const Deadline& deadline) {
    void* tag = nullptr;
    bool ok = false;
    const auto status = queue_->AsyncNext(&tag, &ok, deadline);
    event->operation = nullptr;
    if (status == grpc::CompletionQueue::GOT_EVENT) Unwrap(tag, ok, event);
    return status;
  }

  /// Calls `handler(operation, ok)` in its context for each event, until the queue is shut down and
  /// empty.
  template <std::invocable<Operation*, bool> Handler>
  void Run(Handler&& handler) {
    for (Event event; Next(&event);) {
      const ContextScope scope(std::move(event.context));
      handler(event.operation, event.ok);
    }
  }

  /// No operation may be started afterwards. May be called again.
  void Shutdown() noexcept {
    if (!shut_down_.exchange(true)) queue_->Shutdown();
  }

 private:
  static bool Unwrap(void* tag, bool ok, Event* event) {
    void* operation = nullptr;
    if (!internal::TakeTag(tag, ok, &operation, &event->context)) return false;
    event->operation = static_cast<Operation*>(operation);
    event->ok = ok;
    return true;
  }

  const std::unique_ptr<Queue> queue_;
  std::atomic<bool> shut_down_{false};
};

/// The same around a queue of a server, from `ServerBuilder::AddCompletionQueue`.
template <typename Operation>
using ContextServerCompletionQueue = ContextCompletionQueue<Operation, grpc::ServerCompletionQueue>;

}  // namespace v0
}  // namespace weft
