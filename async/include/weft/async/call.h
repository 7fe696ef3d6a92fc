// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/status.h>

#include <weft/async/internal/call_queue.h>

namespace weft {
inline namespace v0 {

/// What a call came to. `response` is what the server sent if the status is OK.
template <typename Response>
struct [[nodiscard]] CallResult {
  grpc::Status status;
  Response response;

  bool ok() const noexcept { return status.ok(); }
};

namespace internal {

template <typename Stub, typename Reader, typename Request>
using PrepareUnary = std::unique_ptr<Reader> (Stub::*)(grpc::ClientContext*, const Request&,
                                                       grpc::CompletionQueue*);

template <typename Reader>
struct ResponseOf;
template <typename Response>
struct ResponseOf<grpc::ClientAsyncResponseReader<Response>> {
  using Type = Response;
};
template <typename Response>
struct ResponseOf<grpc::ClientAsyncResponseReaderInterface<Response>> {
  using Type = Response;
};
template <typename Reader>
using ResponseOfReader = typename ResponseOf<Reader>::Type;

/// A unary call from its start to its status. Stays where it is until `Await` has returned.
template <typename Response>
class StartedUnary {
 public:
  template <typename Stub, typename Reader, typename Request>
  StartedUnary(Stub& stub, PrepareUnary<Stub, Reader, Request> prepare, const Request& request,
               grpc::ClientContext& client_context) {
    // gRPC keeps the reader with the call: neither needs an owner here.
    const auto reader = (stub.*prepare)(&client_context, request, queue_.get());
    reader->StartCall();
    reader->Finish(&result_.response, &result_.status, queue_.Tag(finish_));
  }
  StartedUnary(const StartedUnary&) = delete;
  StartedUnary& operator=(const StartedUnary&) = delete;

  CallResult<Response>& Await() noexcept {
    if (!std::exchange(awaited_, true)) queue_.Await(finish_);
    return result_;
  }
  bool awaited() const noexcept { return awaited_; }

 private:
  CallQueue queue_;
  CallQueue::Operation finish_;
  CallResult<Response> result_;
  bool awaited_ = false;
};

}  // namespace internal

/// Makes a unary call and waits for its answer, as the synchronous method of a stub does, but
/// blocks only the calling fiber.
///
///     const auto answer = weft::CallUnary(*stub, &Model::Stub::PrepareAsyncAsk, question);
///     if (!answer.ok()) return answer.status;
///     Use(answer.response);
///
/// `stub` is a generated stub, or its StubInterface. A `client_context` takes deadline, metadata
/// and so on, and lets another fiber or thread cancel the call with `TryCancel`.
///
/// Threads: fibers of a thread with a CqScheduler wait while others of the thread run. Everywhere
///   else the call blocks the thread.
/// Errors: those of the call, in `status`.
template <typename Stub, typename Reader, typename Request>
CallResult<internal::ResponseOfReader<Reader>> CallUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request, grpc::ClientContext& client_context) {
  internal::StartedUnary<internal::ResponseOfReader<Reader>> call(stub, prepare, request,
                                                                  client_context);
  return std::move(call.Await());
}

/// The same with a context of its own, which has only a deadline.
template <typename Stub, typename Reader, typename Request>
CallResult<internal::ResponseOfReader<Reader>> CallUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request,
    std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max()) {
  grpc::ClientContext client_context;
  client_context.set_deadline(deadline);
  return CallUnary(stub, prepare, request, client_context);
}

/// A unary call that is under way; made by `StartUnary`.
///
/// Lifetime: destroyed or assigned to before `Await`, it cancels the call and waits for its end. In
///   a fiber that an exception unwinds that wants a scheduler which keeps exceptions apart; see
///   `Inheriting`. What `Await` refers to stays where it is when the object is moved. An object
///   that was moved from may only be assigned to or destroyed.
/// Threads: one at a time, and any fiber; but `Cancel` may be called beside `Await`. A call that
///   was started on a thread with a CqScheduler has ended before the scheduler does.
template <typename Response>
class [[nodiscard]] UnaryCall final {
 public:
  /// See StartUnary. Null: a client context of its own, with `deadline`.
  template <typename Stub, typename Reader, typename Request>
  UnaryCall(Stub& stub, internal::PrepareUnary<Stub, Reader, Request> prepare,
            const Request& request, grpc::ClientContext* client_context,
            std::chrono::system_clock::time_point deadline)
      : state_(std::make_unique<State>(stub, prepare, request, client_context, deadline)) {}

  /// Blocks the fiber, or where there is no CqScheduler the thread, until the call has ended. May
  /// be asked again.
  CallResult<Response>& Await() & noexcept { return state_->call.Await(); }
  CallResult<Response> Await() && noexcept { return std::move(state_->call.Await()); }

  /// Ends the call from this side; other fibers and threads may do so, too.
  void Cancel() noexcept { state_->context.TryCancel(); }

 private:
  struct State {
    template <typename Stub, typename Prepare, typename Request>
    State(Stub& stub, Prepare prepare, const Request& request, grpc::ClientContext* client_context,
          std::chrono::system_clock::time_point deadline)
        : context(client_context != nullptr ? *client_context : OwnContext(deadline)),
          call(stub, prepare, request, context) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      if (call.awaited()) return;
      context.TryCancel();
      static_cast<void>(call.Await());
    }

    grpc::ClientContext& OwnContext(std::chrono::system_clock::time_point deadline) {
      own_context.emplace().set_deadline(deadline);
      return *own_context;
    }

    std::optional<grpc::ClientContext> own_context;
    grpc::ClientContext& context;
    internal::StartedUnary<Response> call;
  };

  std::unique_ptr<State> state_;
};

/// Starts a unary call and returns at once, so that one fiber has several under way. The parameters
/// are those of `CallUnary`; `client_context` outlives the call, `request` need not.
///
///     auto facts = weft::StartUnary(*retriever, &Retriever::Stub::PrepareAsyncSearch, query);
///     auto plan = weft::StartUnary(*planner, &Planner::Stub::PrepareAsyncPlan, query);
///     if (!facts.Await().ok()) return facts.Await().status;  // and cancels the other one
///     return Merge(facts.Await(), plan.Await());
///
/// Cost: one allocation more than CallUnary, and less than half of what a fiber for it takes.
template <typename Stub, typename Reader, typename Request>
UnaryCall<internal::ResponseOfReader<Reader>> StartUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request, grpc::ClientContext& client_context) {
  return {stub, prepare, request, &client_context, {}};
}

/// The same with a context of its own, which has only a deadline.
template <typename Stub, typename Reader, typename Request>
UnaryCall<internal::ResponseOfReader<Reader>> StartUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request,
    std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max()) {
  return {stub, prepare, request, nullptr, deadline};
}

}  // namespace v0
}  // namespace weft
