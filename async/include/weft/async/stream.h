// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/status.h>

#include <weft/async/call.h>
#include <weft/async/internal/call_queue.h>
#include <weft/async/internal/call_stack.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What the streams below share: the call, from its start to its status.
template <typename GrpcStream>
class ClientStream {
 public:
  template <typename Prepare>
  ClientStream(grpc::ClientContext* context, Prepare prepare)
      : own_context_(context == nullptr ? std::make_unique<grpc::ClientContext>() : nullptr),
        context_(context != nullptr ? context : own_context_.get()),
        stream_(prepare(context_, queue_.get())) {
    started_ = Run([](GrpcStream& stream, void* tag) { stream.StartCall(tag); });
  }
  ClientStream(const ClientStream&) = delete;
  ClientStream& operator=(const ClientStream&) = delete;

  /// Ends the call from this side; other fibers and threads may do so, too.
  void Cancel() noexcept { context_->TryCancel(); }

  bool started() const noexcept { return started_; }

 protected:
  ~ClientStream() {
    if (status_) return;
    Cancel();
    static_cast<void>(AwaitStatus());
  }

  template <typename Start>
  bool Run(Start start) {
    CallQueue::Operation operation;
    OnCallStack([&] { start(*stream_, queue_.Tag(operation)); });
    return queue_.Await(operation);
  }

  const grpc::Status& AwaitStatus() {
    if (!status_) {
      grpc::Status status;
      Run([&](GrpcStream& stream, void* tag) { stream.Finish(&status, tag); });
      status_ = std::move(status);
    }
    return *status_;
  }

 private:
  CallQueue queue_;
  const std::unique_ptr<grpc::ClientContext> own_context_;
  grpc::ClientContext* const context_;
  const std::unique_ptr<GrpcStream> stream_;
  bool started_ = false;
  std::optional<grpc::Status> status_;
};

}  // namespace internal

/// The answers of a call with a stream of them; made by `OpenStream`.
///
///     auto tokens = weft::OpenStream(*stub, &Model::Stub::PrepareAsyncGenerate, prompt);
///     for (Token token; tokens.Read(&token);) Print(token);
///     return tokens.Finish();
///
/// Lifetime: destroyed before `Finish`, it cancels the call and waits for its end. In a fiber from
///   which an exception escapes that wants a scheduler that keeps exceptions apart; see
///   `Inheriting`. A context that was given to `OpenStream` outlives it.
/// Threads: as `CallUnary`. A fiber that reads and one that writes may share a stream; the one that
///   finishes it waits for the other first.
/// Errors: a read or write that yields false means that the call is over; `Finish` tells why.
template <typename Response>
class ReadStream final : public internal::ClientStream<grpc::ClientAsyncReader<Response>> {
  using Base = internal::ClientStream<grpc::ClientAsyncReader<Response>>;

 public:
  using Base::Base;

  /// Waits for the next answer. False: there is none, and `*response` is as it was.
  bool Read(Response* response) {
    return this->started() &&
           this->Run([&](auto& stream, void* tag) { stream.Read(response, tag); });
  }

  /// Waits for the status of the call. Once `Read` yielded false, or after `Cancel`: gRPC keeps the
  /// status back as long as there are answers to read.
  grpc::Status Finish() { return this->AwaitStatus(); }
};

namespace internal {

// A base, so that it is there before the call and after it.
template <typename Response>
struct ResponseHolder {
  Response response;
};

}  // namespace internal

/// The requests of a call with a stream of them; made by `OpenStream`. See ReadStream.
template <typename Request, typename Response>
class WriteStream final : private internal::ResponseHolder<Response>,
                          public internal::ClientStream<grpc::ClientAsyncWriter<Request>> {
  using Base = internal::ClientStream<grpc::ClientAsyncWriter<Request>>;

 public:
  template <typename Prepare>
  WriteStream(grpc::ClientContext* context, Prepare prepare)
      : Base(context, [&](grpc::ClientContext* client_context, grpc::CompletionQueue* queue) {
          return prepare(client_context, &this->response, queue);
        }) {}

  /// Waits until gRPC took the request. False: the call is over.
  bool Write(const Request& request, grpc::WriteOptions options = {}) {
    return this->started() &&
           this->Run([&](auto& stream, void* tag) { stream.Write(request, options, tag); });
  }

  /// Says that no more requests come, and waits for the answer.
  CallResult<Response> Finish() {
    if (this->started()) this->Run([](auto& stream, void* tag) { stream.WritesDone(tag); });
    return {this->AwaitStatus(), std::move(this->response)};
  }
};

/// A call with a stream each way; made by `OpenStream`. See ReadStream.
template <typename Request, typename Response>
class BidiStream final
    : public internal::ClientStream<grpc::ClientAsyncReaderWriter<Request, Response>> {
  using Base = internal::ClientStream<grpc::ClientAsyncReaderWriter<Request, Response>>;

 public:
  using Base::Base;

  bool Read(Response* response) {
    return this->started() &&
           this->Run([&](auto& stream, void* tag) { stream.Read(response, tag); });
  }
  bool Write(const Request& request, grpc::WriteOptions options = {}) {
    return this->started() &&
           this->Run([&](auto& stream, void* tag) { stream.Write(request, options, tag); });
  }
  /// Says that no more requests come. Answers still do.
  bool WritesDone() {
    return this->started() && this->Run([](auto& stream, void* tag) { stream.WritesDone(tag); });
  }
  grpc::Status Finish() { return this->AwaitStatus(); }
};

namespace internal {

template <typename Stub, typename Response, typename Request>
using PrepareRead = std::unique_ptr<grpc::ClientAsyncReader<Response>> (Stub::*)(
    grpc::ClientContext*, const Request&, grpc::CompletionQueue*);
template <typename Stub, typename Request, typename Response>
using PrepareWrite = std::unique_ptr<grpc::ClientAsyncWriter<Request>> (Stub::*)(
    grpc::ClientContext*, Response*, grpc::CompletionQueue*);
template <typename Stub, typename Request, typename Response>
using PrepareBidi = std::unique_ptr<grpc::ClientAsyncReaderWriter<Request, Response>> (Stub::*)(
    grpc::ClientContext*, grpc::CompletionQueue*);

}  // namespace internal

/// Starts a call with a stream, and waits until it is under way. The kind follows from the method:
///
///     weft::OpenStream(*stub, &Model::Stub::PrepareAsyncGenerate, prompt)   // ReadStream
///     weft::OpenStream(*stub, &Model::Stub::PrepareAsyncUpload)             // WriteStream
///     weft::OpenStream(*stub, &Model::Stub::PrepareAsyncConverse, &context)  // BidiStream
///
/// `client_context` takes deadline, metadata and so on; without one the stream has its own.
/// Errors: a call that does not start yields false from the first read or write on.
template <typename Stub, typename Response, typename Request>
ReadStream<Response> OpenStream(
    Stub& stub, internal::PrepareRead<std::type_identity_t<Stub>, Response, Request> prepare,
    const std::type_identity_t<Request>& request, grpc::ClientContext* client_context = nullptr) {
  return ReadStream<Response>(client_context,
                              [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
                                return (stub.*prepare)(context, request, queue);
                              });
}

template <typename Stub, typename Request, typename Response>
WriteStream<Request, Response> OpenStream(
    Stub& stub, internal::PrepareWrite<std::type_identity_t<Stub>, Request, Response> prepare,
    grpc::ClientContext* client_context = nullptr) {
  return WriteStream<Request, Response>(
      client_context,
      [&](grpc::ClientContext* context, Response* response, grpc::CompletionQueue* queue) {
        return (stub.*prepare)(context, response, queue);
      });
}

template <typename Stub, typename Request, typename Response>
BidiStream<Request, Response> OpenStream(
    Stub& stub, internal::PrepareBidi<std::type_identity_t<Stub>, Request, Response> prepare,
    grpc::ClientContext* client_context = nullptr) {
  return BidiStream<Request, Response>(
      client_context, [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return (stub.*prepare)(context, queue);
      });
}

}  // namespace v0
}  // namespace weft
