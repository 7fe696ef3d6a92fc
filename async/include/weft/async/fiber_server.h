// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/async/fiber_operation.h>
#include <weft/async/internal/call_stack.h>
#include <weft/async/internal/fiber_call.h>

namespace weft {
inline namespace v0 {

/// The requests of a stream, for a handler of FiberServer.
template <typename Request>
class RequestReader {
 public:
  explicit RequestReader(internal::AsyncReader<Request>& reader,
                         internal::FiberWatch* watch = nullptr) noexcept
      : reader_(reader), watch_(watch) {}

  /// Blocks the fiber until the next request is there. False: no more come.
  bool Read(Request* request) {
    FiberOperation read;
    if (watch_ != nullptr) watch_->ExpectRead();
    internal::OnCallStack([&] { reader_.Read(request, read.tag()); });
    const bool there = read.Await();
    if (there && watch_ != nullptr) watch_->Received(request);
    return there;
  }

 private:
  internal::AsyncReader<Request>& reader_;
  internal::FiberWatch* const watch_;
};

/// The responses of a stream, for a handler of FiberServer.
template <typename Response>
class ResponseWriter {
 public:
  explicit ResponseWriter(internal::AsyncWriter<Response>& writer,
                          internal::FiberWatch* watch = nullptr) noexcept
      : writer_(writer), watch_(watch) {}

  /// Blocks the fiber until gRPC took the response. False: the caller has gone. `options` as of
  /// gRPC's writers, such as for a response that is not to be compressed.
  bool Write(const Response& response, grpc::WriteOptions options = {}) {
    FiberOperation write;
    internal::OnCallStack([&] { writer_.Write(response, options, write.tag()); });
    const bool taken = write.Await();
    if (!taken && watch_ != nullptr) watch_->SendFailed();
    return taken;
  }

 private:
  internal::AsyncWriter<Response>& writer_;
  internal::FiberWatch* const watch_;
};

/// Both. One fiber may read while another one writes; the handler returns when both have ended.
template <typename Request, typename Response>
class RequestResponseStream : public RequestReader<Request>, public ResponseWriter<Response> {
 public:
  template <typename Stream>
  explicit RequestResponseStream(Stream& stream, internal::FiberWatch* watch = nullptr) noexcept
      : RequestReader<Request>(stream, watch), ResponseWriter<Response>(stream, watch) {}
};

struct FiberServerOptions {
  /// Each has a completion queue and runs its own calls.
  int threads = 2;
  /// How many handlers run at a time, in all threads. Further calls wait in gRPC until their
  /// deadlines.
  int max_concurrent_calls = 10'000;
  /// How many calls of each method a thread asks gRPC for ahead.
  int requested_calls = 16;
  /// Of a handler's fiber. A page below it is never accessible, so an overflow ends the process
  /// instead of changing other memory. Only what a handler touches takes memory. Hooks of
  /// interceptors have 1 MiB of their own, on x86-64.
  std::size_t stack_bytes = std::size_t{128} << 10;
  /// Lets handlers ask `ServerContext::IsCancelled`, at the price of one more event for each call.
  /// Without it they must not.
  bool watch_cancellation = true;
};

/// A server whose every call is a fiber: handlers are straight code that may wait, and there are
/// few threads. Works with a vanilla generated AsyncService.
///
///     Model::AsyncService service;
///     grpc::ServerBuilder builder;
///     builder.AddListeningPort(address, credentials).RegisterService(&service);
///     weft::FiberServer server;
///     server.Handle(&service, &Model::AsyncService::RequestAsk, Ask);
///     server.Handle(&service, &Model::AsyncService::RequestGenerate, Generate);
///     if (auto status = server.Start(builder); !status.ok()) return status;
///
/// Handlers look like the methods of a synchronous service:
///
///     grpc::Status Ask(grpc::ServerContext* context, const Question* question, Answer* answer);
///     grpc::Status Generate(grpc::ServerContext* context, const Question* question,
///                           weft::ResponseWriter<Token>& tokens);
///     grpc::Status Upload(grpc::ServerContext* context, weft::RequestReader<Page>& pages,
///                         Summary* summary);
///     grpc::Status Converse(grpc::ServerContext* context,
///                           weft::RequestResponseStream<Question, Answer>& stream);
///
/// In a handler the context of the call is current, `CallUnary` and `OpenStream` block only the
/// fiber, and the fibers it makes inherit; see `Inheriting`.
///
/// A call that a middleware of weft's server interceptor rejected is answered with the verdict; its
/// handler does not run.
///
/// Lifetime: services and handlers outlive the server's Shutdown.
///   A fiber serves one call after another, so what a `fiber_specific_ptr` holds is still there in
///   the next.
/// Threads: a call stays on its thread. A handler that blocks the thread (a file, a std::mutex held
///   long) holds up the thread's other calls.
/// Errors: an exception of a handler ends its call with INTERNAL. The caller is not told its text,
///   the run of the call has it; see FinishThrown.
class FiberServer final {
 public:
  explicit FiberServer(FiberServerOptions options = {});
  /// Shuts down and cancels what still runs.
  ~FiberServer();
  FiberServer(const FiberServer&) = delete;
  FiberServer& operator=(const FiberServer&) = delete;

  /// Says what handles a method; `request` is its Request... function. Before Start. Callers
  /// of a method that nothing handles wait until their deadlines.
  template <typename Service, typename Base, typename Request, typename Response, typename Handler>
  void Handle(Service* service,
              void (Base::*request)(grpc::ServerContext*, Request*,
                                    grpc::ServerAsyncResponseWriter<Response>*,
                                    grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
              Handler handler) {
    using Responder = grpc::ServerAsyncResponseWriter<Response>;
    Add<CallWithResponse<Request, Response, Responder>::template Type>(
        Bound(service, request),
        [handler = std::move(handler)](grpc::ServerContext* context, const Request* message,
                                       Response* response) -> grpc::Status {
          return std::invoke(handler, context, message, response);
        });
  }
  template <typename Service, typename Base, typename Request, typename Response, typename Handler>
  void Handle(Service* service,
              void (Base::*request)(grpc::ServerContext*,
                                    grpc::ServerAsyncReader<Response, Request>*,
                                    grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
              Handler handler) {
    using Responder = grpc::ServerAsyncReader<Response, Request>;
    Add<CallWithResponse<void, Response, Responder>::template Type>(
        Bound(service, request),
        [handler = std::move(handler)](grpc::ServerContext* context, Responder& responder,
                                       Response* response) -> grpc::Status {
          RequestReader<Request> reader(responder, WatchOf(context));
          return std::invoke(handler, context, reader, response);
        });
  }
  template <typename Service, typename Base, typename Request, typename Response, typename Handler>
  void Handle(Service* service,
              void (Base::*request)(grpc::ServerContext*, Request*,
                                    grpc::ServerAsyncWriter<Response>*, grpc::CompletionQueue*,
                                    grpc::ServerCompletionQueue*, void*),
              Handler handler) {
    using Responder = grpc::ServerAsyncWriter<Response>;
    Add<CallWithRequest<Request, Responder>::template Type>(
        Bound(service, request),
        [handler = std::move(handler)](grpc::ServerContext* context, const Request& message,
                                       Responder& responder) -> grpc::Status {
          ResponseWriter<Response> writer(responder, WatchOf(context));
          return std::invoke(handler, context, &message, writer);
        });
  }
  template <typename Service, typename Base, typename Request, typename Response, typename Handler>
  void Handle(Service* service,
              void (Base::*request)(grpc::ServerContext*,
                                    grpc::ServerAsyncReaderWriter<Response, Request>*,
                                    grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
              Handler handler) {
    using Responder = grpc::ServerAsyncReaderWriter<Response, Request>;
    Add<CallWithStreams<Responder>::template Type>(
        Bound(service, request),
        [handler = std::move(handler)](grpc::ServerContext* context,
                                       Responder& responder) -> grpc::Status {
          RequestResponseStream<Request, Response> stream(responder, WatchOf(context));
          return std::invoke(handler, context, stream);
        });
  }

  /// Adds the queues to `builder`, builds the server and serves until Shutdown.
  ///
  /// Errors: InvalidArgument names the option; FailedPrecondition when it was started before;
  ///   Unavailable when gRPC could not start the server, as for an address in use.
  absl::Status Start(grpc::ServerBuilder& builder);

  /// Null before Start. To be shut down by Shutdown only.
  grpc::Server* server() noexcept { return server_.get(); }

  /// Accepts no more calls, lets those that run finish until `deadline`, then cancels them, and
  /// returns when all handlers have returned. From a handler, which would wait for itself, it ends
  /// the process. A thread that a handler blocks delays it by up to a second.
  void Shutdown(std::chrono::system_clock::time_point deadline);

 private:
  template <typename Request, typename Response, typename Responder>
  struct CallWithResponse {
    template <typename Ask, typename Handle>
    using Type = internal::ResponseCall<Request, Response, Responder, Ask, Handle>;
  };
  template <typename Request, typename Responder>
  struct CallWithRequest {
    template <typename Ask, typename Handle>
    using Type = internal::RequestStreamCall<Request, Responder, Ask, Handle>;
  };
  template <typename Responder>
  struct CallWithStreams {
    template <typename Ask, typename Handle>
    using Type = internal::StreamCall<Responder, Ask, Handle>;
  };

  static internal::FiberWatch* WatchOf(grpc::ServerContext* context) noexcept {
    return internal::FiberServerContext::WatchOf(context);
  }
  template <typename Service, typename Method>
  static auto Bound(Service* service, Method method) {
    return [service, method](grpc::ServerCompletionQueue* queue, void* tag, auto*... call) {
      (service->*method)(call..., queue, queue, tag);
    };
  }
  template <template <typename, typename> typename Call, typename Ask, typename Handle>
  void Add(Ask ask, Handle handle) {
    using OneCall = Call<Ask, Handle>;
    static_assert(alignof(OneCall) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    auto shared = std::make_shared<const Handle>(std::move(handle));
    methods_.push_back({sizeof(OneCall), [ask, handle = std::move(shared)](void* memory) {
                          return new (memory) OneCall(ask, handle.get());
                        }});
  }

  const FiberServerOptions options_;
  std::vector<internal::FiberMethod> methods_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;
  struct Threads;
  std::unique_ptr<Threads> threads_;
};

}  // namespace v0
}  // namespace weft
