// SPDX-License-Identifier: Apache-2.0
// Coroutines over gRPC's callback interface: a method of a service that is a coroutine, and a call
// of a stub that can be awaited. Nothing here but CoroutineContext is of weft.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/support/server_callback.h>

#include <weft/context/coroutine.h>

namespace planning {

/// The promise of a method of a callback service; what it returns with co_return is the status of
/// the call. Runs at once on a thread of gRPC, and goes on on whichever completes what it awaits.
class UnaryMethod : public weft::CoroutineContext<UnaryMethod> {
 public:
  template <typename Service, typename Request, typename Response>
  UnaryMethod(Service&, grpc::CallbackServerContext* context, const Request*, Response*)
      : reactor_(context->DefaultReactor()) {}

  grpc::ServerUnaryReactor* get_return_object() noexcept { return reactor_; }
  auto initial_suspend() noexcept { return Initially(std::suspend_never()); }
  auto final_suspend() noexcept {
    reactor_->Finish(status_);  // Now that the variables of the method are gone.
    return Finally(std::suspend_never());
  }
  void return_value(grpc::Status status) noexcept { status_ = std::move(status); }
  void unhandled_exception() noexcept {
    status_ = grpc::Status(grpc::StatusCode::INTERNAL, "the handler threw an exception");
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  grpc::Status status_;
};

/// A call of a stub. It is made, with its parent, when it is awaited.
template <typename Stub, typename Request, typename Response>
class UnaryCall {
 public:
  using Method = void (Stub::*)(grpc::ClientContext*, const Request*, Response*,
                                std::function<void(grpc::Status)>);
  struct Result {
    grpc::Status status;
    Response response;
  };

  UnaryCall(Stub* stub, Method method, const Request& request)
      : stub_(stub), method_(method), request_(request) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> coroutine) {
    (stub_->*method_)(&context_, &request_, &result_.response,
                      [this, coroutine](grpc::Status status) {
                        result_.status = std::move(status);
                        coroutine.resume();
                      });
  }
  Result await_resume() { return std::move(result_); }

 private:
  Stub* const stub_;
  const Method method_;
  const Request& request_;
  grpc::ClientContext context_;
  Result result_;
};

/// `co_await Call(stub.async(), &async_interface::Method, request)`
template <typename Stub, typename Request, typename Response>
auto Call(std::type_identity_t<Stub>* stub,
          void (Stub::*method)(grpc::ClientContext*, const Request*, Response*,
                               std::function<void(grpc::Status)>),
          const Request& request) {
  return UnaryCall<Stub, Request, Response>(stub, method, request);
}

}  // namespace planning

/// Makes each method with the signature of a unary method a UnaryMethod if it awaits anything.
template <typename Service, typename Request, typename Response>
struct std::coroutine_traits<grpc::ServerUnaryReactor*, Service&, grpc::CallbackServerContext*,
                             const Request*, Response*> {
  using promise_type = planning::UnaryMethod;
};
