// SPDX-License-Identifier: Apache-2.0
// All that knows how gRPC keeps the handlers of a service is in this file.
#include <weft/interceptors/guard.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include <weft/async/internal/thrown.h>
#include <weft/async/rejected.h>

#include "handled_call.h"
#include "private_member.h"
#include "server_guards.h"

namespace weft {
inline namespace v0 {
namespace internal {

// gRPC gives no way to put a handler around another one.
struct MethodsTag {
  friend constexpr auto Get(MethodsTag);
};
struct HandlerTag {
  friend constexpr auto Get(HandlerTag);
};
struct GenericServiceTag {
  friend constexpr auto Get(GenericServiceTag);
};
template struct PrivateMember<&grpc::Service::methods_, MethodsTag>;
template struct PrivateMember<&grpc::internal::RpcServiceMethod::handler_, HandlerTag>;
template struct PrivateMember<&grpc::ServerBuilder::callback_generic_service_, GenericServiceTag>;

// The last message of a stream, which a synchronous handler may leave to be sent with the status.
struct HasPendingTag {
  friend constexpr auto Get(HasPendingTag);
};
struct PendingTag {
  friend constexpr auto Get(PendingTag);
};
struct PluckTag {
  friend constexpr auto Get(PluckTag);
};
template struct PrivateMember<&grpc::ServerContextBase::has_pending_ops_, HasPendingTag>;
template struct PrivateMember<&grpc::ServerContextBase::pending_ops_, PendingTag>;
template struct PrivateMember<&grpc::CompletionQueue::Pluck, PluckTag>;

}  // namespace internal

namespace {

using Handler = grpc::internal::MethodHandler;
using Method = grpc::internal::RpcServiceMethod;

const std::vector<std::unique_ptr<Method>>& MethodsOf(const grpc::Service& service) {
  return service.*Get(internal::MethodsTag());
}

bool IsCallback(const Method& method) {
  return method.api_type() == Method::ApiType::CALL_BACK ||
         method.api_type() == Method::ApiType::RAW_CALL_BACK;
}

bool HasRequestMessage(const Method& method) {
  return method.method_type() == Method::NORMAL_RPC ||
         method.method_type() == Method::SERVER_STREAMING;
}

/// Runs `inner` unless the call was rejected; the verdict takes the place of the status that is
/// sent then. Runs the middlewares, too, for calls that have no interceptor.
class GuardedHandler final : public Handler {
 public:
  GuardedHandler(std::unique_ptr<Handler> inner, bool callback, bool has_request) noexcept
      : inner_(std::move(inner)), callback_(callback), has_request_(has_request) {}

  void RunHandler(const HandlerParameter& call) override {
    internal::HandledMethod handled = internal::TakeHandled(call.call->server_rpc_info());
    if (handled.method.info == nullptr) return RunUnlessRejected(call);
    const auto run = handled.only_receives ? internal::RunReceived : internal::RunHandled;
    run(std::move(handled.method), callback_ ? ServerApi::kCallback : ServerApi::kSync, call,
        [this](const HandlerParameter& seen) { RunUnlessRejected(seen); });
  }

  void* Deserialize(grpc_call* call, grpc_byte_buffer* request, grpc::Status* status,
                    void** handler_data) override {
    return inner_->Deserialize(call, request, status, handler_data);
  }

 private:
  void RunUnlessRejected(const HandlerParameter& call) {
    const grpc::Status* const rejected = Rejected(*call.server_context);
    // A call whose request could not be read reaches no handler of the application either.
    if (rejected == nullptr || !call.status.ok()) return RunInner(call);
    // Copied: the call may end before the handler returns.
    const grpc::Status status = *rejected;
    if (callback_) return RunWithoutHandler(call, status);
    if (!has_request_) return EndCall(call);
    DestroyRequest(call);
    RunWithoutHandler(call, status);
  }

  // gRPC itself catches what its handlers throw, unless their generated code was compiled with
  // GRPC_ALLOW_EXCEPTIONS=0. Then nothing was sent yet.
  void RunInner(const HandlerParameter& call) {
    if (callback_) return inner_->RunHandler(call);
    std::exception_ptr thrown;
    try {
      return inner_->RunHandler(call);
    } catch (...) {
      thrown = std::current_exception();
    }
    if (has_request_ && call.request != nullptr) DestroyRequest(call);
    internal::FinishWith(std::move(thrown), [&](const grpc::Status&) { EndThrown(call); });
  }

  // Synchronous handlers destroy a request only where the application's part has returned.
  static void DestroyRequest(const HandlerParameter& call) {
    static_cast<google::protobuf::MessageLite*>(call.request)->~MessageLite();
  }

  // As gRPC's handlers for streams of responses do.
  static void EndThrown(const HandlerParameter& call) {
    grpc::internal::CallOpSet<grpc::internal::CallOpSendInitialMetadata,
                              grpc::internal::CallOpServerSendStatus>
        ops;
    grpc::internal::ErrorMethodHandler<grpc::StatusCode::INTERNAL>::FillOps(
        call.server_context, internal::kThrownText, &ops);
    call.call->PerformOps(&ops);
    const auto wait = [&](grpc::internal::CompletionQueueTag& tag) {
      (call.call->cq()->*Get(internal::PluckTag()))(&tag);
    };
    grpc::ServerContextBase& context = *call.server_context;
    if (context.*Get(internal::HasPendingTag())) wait(context.*Get(internal::PendingTag()));
    wait(ops);
  }

  // With a status gRPC's handlers take the request for unreadable, and answer themselves.
  void RunWithoutHandler(const HandlerParameter& call, const grpc::Status& status) {
    inner_->RunHandler({call.call, call.server_context, call.request, status, call.internal_data,
                        call.call_requester});
  }

  // Those that read their requests as a stream do not look at the status.
  static void EndCall(const HandlerParameter& call) {
    grpc::internal::ErrorMethodHandler<grpc::StatusCode::CANCELLED>("rejected").RunHandler(call);
  }

  const std::unique_ptr<Handler> inner_;
  const bool callback_;
  const bool has_request_;
};

std::string DescriptorName(const Method& method) {
  std::string name = method.name();
  if (name.starts_with('/')) name.erase(0, 1);
  if (const std::size_t slash = name.rfind('/'); slash != name.npos) name[slash] = '.';
  return name;
}

// What GuardedHandler destroys must be a message of protobuf.
bool KnowsRequest(const Method& method) {
  return method.handler() == nullptr || IsCallback(method) || !HasRequestMessage(method) ||
         google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
             DescriptorName(method)) != nullptr;
}

internal::ServedBy WhatServes(const Method& method) {
  if (method.handler() == nullptr) return internal::ServedBy::kQueue;
  return HasRequestMessage(method) ? internal::ServedBy::kHandler
                                   : internal::ServedBy::kStreamHandler;
}

void Guard(grpc::Service* service, Method& method, internal::ServerGuards& guards) {
  std::unique_ptr<Handler>& handler = method.*Get(internal::HandlerTag());
  if (handler == nullptr) return guards.AddQueueMethod(service, method.name());
  if (dynamic_cast<const GuardedHandler*>(handler.get()) != nullptr) return;
  handler = std::make_unique<GuardedHandler>(std::move(handler), IsCallback(method),
                                             HasRequestMessage(method));
}

// Protected in gRPC: a class that derives from the builder may name the function, and the name is
// of the base.
struct BuilderAccess : grpc::ServerBuilder {
  static auto ServicesOf(grpc::ServerBuilder& builder) {
    return (builder.*(&BuilderAccess::services))();
  }
};

}  // namespace

namespace internal {

void GuardServices(grpc::ServerBuilder& builder, ServerGuards& guards) {
  for (const auto* named : BuilderAccess::ServicesOf(builder)) {
    for (const auto& method : MethodsOf(*named->service)) {
      if (method == nullptr || !KnowsRequest(*method)) continue;
      Guard(named->service, *method, guards);
      const ServedBy served_by = WhatServes(*method);
      guards.AddMethod(method->name(), served_by, /*guarded=*/served_by != ServedBy::kQueue);
    }
  }
  grpc::CallbackGenericService*& generic = builder.*Get(GenericServiceTag());
  if (generic != nullptr) generic = guards.Decorate(generic);
}

}  // namespace internal

absl::Status RegisterService(grpc::ServerBuilder& builder, grpc::Service* service) {
  if (service == nullptr) return absl::InvalidArgumentError("the service is null");
  for (const auto& method : MethodsOf(*service)) {
    if (method == nullptr || KnowsRequest(*method)) continue;
    return absl::InvalidArgumentError(std::string("the messages of ") + method->name() +
                                      " are not of protobuf, or their descriptor is not linked");
  }
  const std::shared_ptr<internal::ServerGuards> guards = internal::ServerGuards::Of(builder);
  for (const auto& method : MethodsOf(*service)) {
    if (method == nullptr) continue;  // left to a generic service
    Guard(service, *method, *guards);
    guards->AddMethod(method->name(), WhatServes(*method), /*guarded=*/true);
  }
  builder.RegisterService(service);
  return absl::OkStatus();
}

absl::Status RegisterCallbackGenericService(grpc::ServerBuilder& builder,
                                            grpc::CallbackGenericService* service) {
  if (service == nullptr) return absl::InvalidArgumentError("the service is null");
  const std::shared_ptr<internal::ServerGuards> guards = internal::ServerGuards::Of(builder);
  builder.RegisterCallbackGenericService(guards->Decorate(service));
  return absl::OkStatus();
}

absl::Status RegisterAsyncGenericService(grpc::ServerBuilder& builder,
                                         grpc::AsyncGenericService* service) {
  if (service == nullptr) return absl::InvalidArgumentError("the service is null");
  internal::ServerGuards::Of(builder)->AddGeneric();
  builder.RegisterAsyncGenericService(service);
  return absl::OkStatus();
}

}  // namespace v0
}  // namespace weft
