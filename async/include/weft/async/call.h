// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <type_traits>

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
  CallResult<internal::ResponseOfReader<Reader>> result;
  internal::CallQueue queue;
  internal::CallQueue::Operation finish;
  const auto reader = (stub.*prepare)(&client_context, request, queue.get());
  reader->StartCall();
  reader->Finish(&result.response, &result.status, queue.Tag(finish));
  queue.Await(finish);
  return result;
}

/// The same with a context of its own, which has only a deadline.
template <typename Stub, typename Reader, typename Request>
CallResult<internal::ResponseOfReader<Reader>> CallUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request, std::chrono::system_clock::time_point deadline) {
  grpc::ClientContext client_context;
  client_context.set_deadline(deadline);
  return CallUnary(stub, prepare, request, client_context);
}

template <typename Stub, typename Reader, typename Request>
CallResult<internal::ResponseOfReader<Reader>> CallUnary(
    Stub& stub, internal::PrepareUnary<std::type_identity_t<Stub>, Reader, Request> prepare,
    const std::type_identity_t<Request>& request) {
  grpc::ClientContext client_context;
  return CallUnary(stub, prepare, request, client_context);
}

}  // namespace v0
}  // namespace weft
