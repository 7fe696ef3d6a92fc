// SPDX-License-Identifier: Apache-2.0
#include "server_interceptor.h"

#include <algorithm>
#include <cstddef>
#include <typeinfo>
#include <utility>

#include <grpcpp/server_context.h>

#include <weft/async/internal/call_sentinel.h>
#include <weft/context/context_scope.h>

#include "handled_call.h"
#include "queue_call.h"
#include "rpc_kind.h"
#include "server_call.h"
#include "server_writes.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Hook = grpc::experimental::InterceptionHookPoints;
using Batch = grpc::experimental::InterceptorBatchMethods;

class ServerInterceptor;

// The call whose handler gRPC runs below on this stack: a synchronous one until it ends, a callback
// one while the method's body runs. A completion queue runs nothing there.
thread_local const ServerInterceptor* t_handled = nullptr;

class ServerInterceptor final : public grpc::experimental::Interceptor,
                                public WithTrailingStates<ServerInterceptor> {
 public:
  using WithTrailingStates<ServerInterceptor>::operator new;
  using WithTrailingStates<ServerInterceptor>::operator delete;

  /// `alone`: no other interceptor sees the call.
  ServerInterceptor(MethodRef method, grpc::ServerContextBase* context, bool alone) noexcept
      : call_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset(), context),
        alone_(alone) {}

  ~ServerInterceptor() override {
    if (t_handled == this) call_.set_api(ServerApi::kSync);
  }

  void Intercept(Batch* batch) override {
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      call_.Begin(*batch->GetRecvInitialMetadata(), KnownApi());
      Received(*batch);
      return Handle(*batch);
    }
    After(*batch);
    if (!alone_ || !writes_.Start(*batch)) batch->Proceed();
  }

 private:
  // Runs the handler, if it is a synchronous one or the body of a callback method, in the call's
  // context. A synchronous handler takes the call along: afterwards `this` may be destroyed.
  void Handle(Batch& batch) {
    const ServerInterceptor* const outer = std::exchange(t_handled, this);
    {
      const ContextScope scope(call_.context());
      batch.Proceed();
    }
    t_handled = outer;
  }

  void After(Batch& batch) noexcept {
    if (Received(batch)) return;  // a read is a batch of its own
    call_.Send(batch);
    // In the batch of a reply it tells whether the status went out, too.
    if (batch.QueryInterceptionHookPoint(Hook::POST_SEND_MESSAGE) &&
        !batch.GetSendMessageStatus()) {
      call_.SetCancelled();
    }
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) SendStatus(batch);
    // After the status only a callback call may be asked; for the others see SendStatus and above.
    // The context of a completion queue's call may be gone.
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_CLOSE)) {
      call_.PeerClosed(call_.Is(CallData::kStatusSent) && call_.api() == ServerApi::kCallback &&
                       call_.server_context()->IsCancelled());
    }
  }

  bool Received(Batch& batch) noexcept {
    if (!batch.QueryInterceptionHookPoint(Hook::POST_RECV_MESSAGE)) return false;
    if (void* const message = batch.GetRecvMessage()) call_.Received(message);
    return true;
  }

  // The exact type first: a cast to a class that it is not takes gRPC's whole hierarchy.
  ServerApi KnownApi() const noexcept {
    const grpc::ServerContextBase& context = *call_.server_context();
    return typeid(context) != typeid(grpc::ServerContext) &&
                   dynamic_cast<const grpc::CallbackServerContext*>(&context) != nullptr
               ? ServerApi::kCallback
               : ServerApi::kCompletionQueue;
  }

  // FiberServer says so around the operation that brought us here.
  bool InFiber() const noexcept {
    const auto* const call = Context::View().Find(kFiberCallKey);
    return call != nullptr && *call == call_.server_context();
  }

  void SendStatus(Batch& batch) noexcept {
    if (call_.api() != ServerApi::kCallback) {
      call_.set_api(t_handled == this ? ServerApi::kSync
                    : InFiber()       ? ServerApi::kFiber
                                      : ServerApi::kCompletionQueue);
    }
    // gRPC tells a synchronous call's cancellation only to those who ask; it may know of it from a
    // read that failed, without a hook. A reply's own batch fails when it is cancelled (see After),
    // a status without a message tells nothing.
    if (call_.api() == ServerApi::kSync && call_.method().kind >= RpcKind::kServerStream &&
        !call_.Is(CallData::kPeerClosed) && call_.server_context()->IsCancelled()) {
      call_.SetCancelled();
    }
    call_.SendStatus(batch);
  }

  ServerCall call_;
  ServerWrites writes_{&call_};
  const bool alone_;
};

bool AllSkip(const MethodInfo& info, const grpc::ServerContextBase& context) noexcept {
  const MetadataView metadata(context);
  return std::ranges::all_of(info.links, [&](const MethodInfo::Link& link) {
    return link.middleware->Skips(info.description, metadata);
  });
}

bool AllOnlyReceive(const MethodInfo& info, const grpc::ServerContextBase& context) noexcept {
  const MetadataView metadata(context);
  return std::ranges::all_of(info.links, [&](const MethodInfo::Link& link) {
    return link.middleware->OnlyReceives(info.description, link.method_state.get(), metadata);
  });
}

}  // namespace

grpc::experimental::Interceptor* ServerInterceptorFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  MethodRef method = chain_->Find(info->method(), KindOf(info->type()));
  if (method.info->links.empty()) return nullptr;
  if (AllSkip(*method.info, *info->server_context())) return nullptr;
  const ServedBy served_by = method.info->served_by;
  if (served_by != ServedBy::kUnknown && AllOnlyReceive(*method.info, *info->server_context())) {
    if (served_by == ServedBy::kQueue) {
      ReceiveForQueue(std::move(method), *info->server_context());
    } else {
      LeaveToHandler(*info, {std::move(method), /*only_receives=*/true});
    }
    return nullptr;
  }
  if (alone_ && served_by == ServedBy::kHandler) {
    LeaveToHandler(*info, {std::move(method)});
    return nullptr;
  }
  const bool is_fiber = typeid(*info->server_context()) == typeid(FiberServerContext);
  if (alone_ && !is_fiber && served_by == ServedBy::kQueue && CanWatchQueueCall(*method.info)) {
    WatchQueueCall(std::move(method), *info->server_context());
    return nullptr;
  }
  if (alone_ && is_fiber) {
    auto& context = static_cast<FiberServerContext&>(*info->server_context());
    if (context.notified) {
      LeaveToFiber(std::move(method), context);
      return nullptr;
    }
  }
  const std::size_t state_bytes = method.info->state_bytes;
  return new (state_bytes) ServerInterceptor(std::move(method), info->server_context(), alone_);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
