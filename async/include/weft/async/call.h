// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/status.h>

#include <weft/async/internal/call_queue.h>
#include <weft/async/internal/call_stack.h>

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

/// A unary call from its start to its status.
template <typename Response>
class StartedUnary {
 public:
  template <typename Stub, typename Reader, typename Request>
  StartedUnary(Stub& stub, PrepareUnary<Stub, Reader, Request> prepare, const Request& request,
               grpc::ClientContext& client_context) {
    OnCallStack([&] {
      // gRPC keeps the reader with the call: neither needs an owner here.
      const auto reader = (stub.*prepare)(&client_context, request, queue_.get());
      reader->StartCall();
      reader->Finish(&result_.response, &result_.status, queue_.Tag(finish_));
    });
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

template <typename Response>
class UnaryCall;

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
  return UnaryCall<internal::ResponseOfReader<Reader>>(stub, prepare, request, client_context)
      .Await();
}

/// The same with a context of its own, which has only a deadline.
template <typename Stub, typename Reader, typename Request>
CallResult<internal::ResponseOfReader<Reader>> CallUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request,
    std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max()) {
  return UnaryCall<internal::ResponseOfReader<Reader>>(stub, prepare, request, deadline).Await();
}

/// A unary call that is under way; made by `StartUnary`, or in its place in a container:
///
///     std::deque<weft::UnaryCall<Page>> calls;
///     for (Retriever::Stub* stub : retrievers) {
///       calls.emplace_back(*stub, &Retriever::Stub::PrepareAsyncSearch, query);
///     }
///
/// Lifetime: destroyed before `Await`, it cancels the call and waits for its end. In a fiber from
///   which an exception escapes that wants a scheduler that keeps exceptions apart; see
///   `Inheriting`.
/// Threads: one at a time, and any fiber; but `Cancel` may be called beside `Await`. A call that
///   was started on a thread with a CqScheduler has ended before the scheduler does.
/// Cost: no allocation of its own.
template <typename Response>
class [[nodiscard]] UnaryCall final {
 public:
  /// The parameters are those of `StartUnary`.
  template <typename Stub, typename Reader, typename Request>
  UnaryCall(Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
            const std::type_identity_t<Request>& request, grpc::ClientContext& client_context)
      : context_(client_context), call_(stub, prepare, request, context_) {}
  template <typename Stub, typename Reader, typename Request>
  UnaryCall(Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
            const std::type_identity_t<Request>& request,
            std::chrono::system_clock::time_point deadline = kNever)
      : context_(OwnContext(deadline)), call_(stub, prepare, request, context_) {}
  UnaryCall(const UnaryCall&) = delete;
  UnaryCall& operator=(const UnaryCall&) = delete;
  ~UnaryCall() {
    if (!call_.awaited()) {
      context_.TryCancel();
      static_cast<void>(call_.Await());
    }
    internal::OnCallStack([this] { own_context_.reset(); });
  }

  /// Blocks the fiber, or where there is no CqScheduler the thread, until the call has ended. May
  /// be asked again.
  CallResult<Response>& Await() & noexcept { return call_.Await(); }
  CallResult<Response> Await() && noexcept { return std::move(call_.Await()); }

  /// Ends the call from this side; other fibers and threads may do so, too.
  void Cancel() noexcept { context_.TryCancel(); }

 private:
  static constexpr auto kNever = std::chrono::system_clock::time_point::max();

  grpc::ClientContext& OwnContext(std::chrono::system_clock::time_point deadline) {
    own_context_.emplace();
    if (deadline != kNever) own_context_->set_deadline(deadline);
    return *own_context_;
  }

  std::optional<grpc::ClientContext> own_context_;
  grpc::ClientContext& context_;
  internal::StartedUnary<Response> call_;
};

/// Starts a unary call and returns at once, so that one fiber has several under way. The parameters
/// are those of `CallUnary`; `client_context` outlives the call, `request` need not.
///
///     auto facts = weft::StartUnary(*retriever, &Retriever::Stub::PrepareAsyncSearch, query);
///     auto plan = weft::StartUnary(*planner, &Planner::Stub::PrepareAsyncPlan, query);
///     if (!facts.Await().ok()) return facts.Await().status;  // and cancels the other one
///     return Merge(facts.Await(), plan.Await());
///
/// Cost: that of CallUnary, and less than half of what a fiber for it takes.
template <typename Stub, typename Reader, typename Request>
UnaryCall<internal::ResponseOfReader<Reader>> StartUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request, grpc::ClientContext& client_context) {
  return UnaryCall<internal::ResponseOfReader<Reader>>(stub, prepare, request, client_context);
}

/// The same with a context of its own, which has only a deadline.
template <typename Stub, typename Reader, typename Request>
UnaryCall<internal::ResponseOfReader<Reader>> StartUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request,
    std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max()) {
  return UnaryCall<internal::ResponseOfReader<Reader>>(stub, prepare, request, deadline);
}

/// Blocks the fiber, or where there is no CqScheduler the thread, until all of `calls` have ended.
///
///     weft::AwaitAll(facts, plan);
///     if (!facts.Await().ok()) return facts.Await().status;  // does not wait any more
///
/// Cost: no more than `Await` of one after the other; the fiber may be woken less often.
template <typename... Responses>
void AwaitAll(UnaryCall<Responses>&... calls) noexcept {
  // The last one first: when it has ended the others mostly have, too.
  const auto last_first = [](auto& self, auto& call, auto&... later) -> void {
    if constexpr (sizeof...(later) > 0) self(self, later...);
    static_cast<void>(call.Await());
  };
  if constexpr (sizeof...(calls) > 0) last_first(last_first, calls...);
}

/// The same for a container of calls.
template <std::ranges::bidirectional_range Calls>
void AwaitAll(Calls& calls) noexcept {
  for (auto& call : calls | std::views::reverse) static_cast<void>(call.Await());
}

}  // namespace v0
}  // namespace weft
