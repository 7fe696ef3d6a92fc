// SPDX-License-Identifier: Apache-2.0
#include "handled_call.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_hook.h>
#include <grpcpp/server_context.h>

#include <weft/async/internal/call_sentinel.h>
#include <weft/context/context_scope.h>

#include "private_member.h"
#include "server_call.h"
#include "server_operations.h"

namespace weft {
inline namespace v0 {
namespace internal {

// How gRPC gives an operation of a completion queue to a responder.
struct BindCallTag {
  friend constexpr auto Get(BindCallTag);
};
template struct PrivateMember<&grpc::internal::ServerAsyncStreamingInterface::BindCall,
                              BindCallTag>;

namespace {

using grpc::internal::CallOpSetInterface;

thread_local struct {
  const grpc::experimental::ServerRpcInfo* call = nullptr;
  HandledMethod method;
} t_left;

/// Stands between a handler and gRPC: the handler's operations come to it first.
class HandledCall final : public grpc::internal::CallHook, public WithTrailingStates<HandledCall> {
 public:
  using WithTrailingStates<HandledCall>::operator new;
  using WithTrailingStates<HandledCall>::operator delete;

  HandledCall(MethodRef method, const HandlerParameter& handled) noexcept
      : call_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset(),
              handled.server_context),
        grpc_call_(*handled.call),
        shown_call_(handled.call->call(), this, handled.call->cq(),
                    handled.call->max_receive_message_size(), handled.call->server_rpc_info()),
        release_(handled.call_requester) {}

  void Begin(ServerApi api, const HandlerParameter& handled) noexcept {
    call_.Begin(metadata(), api);
    if (handled.request != nullptr) call_.Received(handled.request);
  }

  /// Ends with the handler.
  void RunSync(const HandlerParameter& handled,
               absl::FunctionRef<void(const HandlerParameter&)> run) {
    {
      const ContextScope scope(call_.context());
      run({&shown_call_, handled.server_context, handled.request, handled.status,
           handled.internal_data, handled.call_requester});
    }
    if (call_.server_context()->IsCancelled()) call_.SetCancelled();
    call_.End();
    RemoveCallContext(metadata());
  }

  /// Ends when gRPC releases the call; `this` may be gone afterwards.
  void RunCallback(const HandlerParameter& handled,
                   absl::FunctionRef<void(const HandlerParameter&)> run) {
    const ContextScope scope(call_.context());
    run({&shown_call_, handled.server_context, handled.request, handled.status,
         handled.internal_data, [this] { Release(); }});
  }

  void PerformOpsOnCall(CallOpSetInterface* ops, grpc::internal::Call* /*shown*/) override {
    if (auto& completion = CompletionOf(*call_.server_context());
        completion && completion.ops() == ops) {
      WatchCompletion(completion);
    } else {
      Send(call_, *ops);
    }
    // A copy: the call may be over, and `this` gone, before gRPC returns.
    grpc::internal::Call grpc_call = grpc_call_;
    grpc_call.PerformOps(ops);
  }

 private:
  ServerCall::ReceivedMetadata& metadata() noexcept { return MetadataOf(*call_.server_context()); }

  void WatchCompletion(grpc::internal::CallbackWithSuccessTag& completion) {
    std::function<void(bool)>& function = FunctionOf(completion);
    completed_ = std::move(function);
    function = [this](bool ok) { Complete(ok); };
  }

  void Complete(bool ok) {
    call_.PeerClosed(call_.Is(CallData::kStatusSent) && call_.server_context()->IsCancelled());
    // It may be the last that happens to the call, and end in Release.
    const std::function<void(bool)> completed = std::move(completed_);
    completed(ok);
  }

  void Release() {
    const std::function<void()> release = std::move(release_);
    // First: the release lets Server::Shutdown return, and nothing of the call may be left then.
    delete this;
    release();
  }

  ServerCall call_;
  grpc::internal::Call grpc_call_;
  grpc::internal::Call shown_call_;
  std::function<void()> release_;
  std::function<void(bool)> completed_;
};

/// The same between a fiber and gRPC.
class WatchedCall final : public FiberWatch,
                          public grpc::internal::CallHook,
                          public WithTrailingStates<WatchedCall> {
 public:
  using WithTrailingStates<WatchedCall>::operator new;
  using WithTrailingStates<WatchedCall>::operator delete;

  WatchedCall(MethodRef method, grpc::ServerContextBase* context) noexcept
      : call_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset(), context) {}

  void Begin(grpc::internal::ServerAsyncStreamingInterface& responder, grpc::CompletionQueue* queue,
             void* request) noexcept override {
    grpc::ServerContextBase& context = *call_.server_context();
    call_.Begin(MetadataOf(context), ServerApi::kFiber);
    if (request != nullptr) call_.Received(request);
    grpc_call_ = grpc::internal::Call(context.c_call(), nullptr, queue);
    grpc::internal::Call shown(context.c_call(), this, queue);
    (responder.*Get(BindCallTag()))(&shown);
  }

  void PerformOpsOnCall(CallOpSetInterface* ops, grpc::internal::Call* /*shown*/) override {
    if (!std::exchange(reads_, false)) Send(call_, *ops);
    // What the server, which is the hook of a call without interceptors, does.
    ops->FillOps(&grpc_call_);
  }

  void Received(void* message) noexcept override { call_.Received(message); }
  void SendFailed() noexcept override { call_.SetCancelled(); }
  void PeerClosed() noexcept override { call_.PeerClosed(/*cancelled=*/false); }

 private:
  ServerCall call_;
  grpc::internal::Call grpc_call_;
};

}  // namespace

void LeaveToFiber(MethodRef method, FiberServerContext& context) noexcept {
  const std::size_t state_bytes = method.info->state_bytes;
  context.watch.reset(new (state_bytes) WatchedCall(std::move(method), &context));
}

void LeaveToHandler(const grpc::experimental::ServerRpcInfo& call, HandledMethod method) noexcept {
  t_left = {&call, std::move(method)};
}

HandledMethod TakeHandled(const grpc::experimental::ServerRpcInfo* call) noexcept {
  if (call == nullptr || t_left.call != call) return {};
  t_left.call = nullptr;
  return std::move(t_left.method);
}

namespace {

/// Has it until gRPC releases a callback call.
struct KeptContext {
  Context context;
  std::function<void()> release;

  static void Release(KeptContext* kept) {
    const std::function<void()> release = std::move(kept->release);
    delete kept;
    release();
  }
};

}  // namespace

void RunReceived(MethodRef method, ServerApi api, const HandlerParameter& handled,
                 absl::FunctionRef<void(const HandlerParameter&)> run) {
  Context context = ReceivedContext(std::move(method), *handled.server_context);
  ServerCall::ReceivedMetadata& metadata = MetadataOf(*handled.server_context);
  const ContextScope scope(context);
  if (api == ServerApi::kSync) {
    InstallCallContext(metadata, &context);
    run(handled);
    RemoveCallContext(metadata);
    return;
  }
  auto* const kept = new KeptContext{std::move(context), handled.call_requester};
  InstallCallContext(metadata, &kept->context);
  run({handled.call, handled.server_context, handled.request, handled.status, handled.internal_data,
       [kept] { KeptContext::Release(kept); }});
}

void RunHandled(MethodRef method, ServerApi api, const HandlerParameter& handled,
                absl::FunctionRef<void(const HandlerParameter&)> run) {
  const std::size_t state_bytes = method.info->state_bytes;
  std::unique_ptr<HandledCall> call(new (state_bytes) HandledCall(std::move(method), handled));
  call->Begin(api, handled);
  if (api == ServerApi::kSync) return call->RunSync(handled, run);
  call.release()->RunCallback(handled, run);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
