// SPDX-License-Identifier: Apache-2.0
#include "server_call.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <typeinfo>
#include <utility>

#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_context.h>

#include <weft/async/internal/call_sentinel.h>
#include <weft/context/context_scope.h>

#include "call_data.h"
#include "message_content.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Hook = grpc::experimental::InterceptionHookPoints;
using Batch = grpc::experimental::InterceptorBatchMethods;

class ServerCall;

// The call whose handler gRPC runs below on this stack: a synchronous one until it ends, a callback
// one while the method's body runs. A completion queue runs nothing there.
thread_local const ServerCall* t_handled = nullptr;

class ServerCall final : public grpc::experimental::Interceptor,
                         public WithTrailingStates<ServerCall> {
 public:
  using WithTrailingStates<ServerCall>::operator new;
  using WithTrailingStates<ServerCall>::operator delete;

  ServerCall(MethodRef method, grpc::ServerContextBase* context) noexcept
      : data_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset()),
        context_(context) {}

  // The server context may be gone here, so nothing looks at it.
  ~ServerCall() override {
    if (data_.Is(CallData::kStarted)) End();
  }

  void Intercept(Batch* batch) override {
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      Begin(*batch);
      return Handle(*batch);
    }
    After(*batch);
    batch->Proceed();
  }

 private:
  // Runs the handler, if it is a synchronous one or the body of a callback method, in the call's
  // context. A synchronous handler takes the call along: afterwards `this` may be destroyed.
  void Handle(Batch& batch) {
    const ServerCall* const outer = std::exchange(t_handled, this);
    {
      const ContextScope scope(data_.context);
      batch.Proceed();
    }
    t_handled = outer;
  }

  void Begin(Batch& batch) noexcept {
    auto& metadata = *batch.GetRecvInitialMetadata();
    data_.start = data_.method.chain->Now();
    data_.deadline = ToDeadline(context_->raw_deadline());
    data_.previous_attempts = PreviousAttempts(MetadataView(metadata));
    // The exact type first: a cast to a class that it is not takes gRPC's whole hierarchy.
    if (typeid(*context_) != typeid(grpc::ServerContext) &&
        dynamic_cast<const grpc::CallbackServerContext*>(context_) != nullptr) {
      api_ = ServerApi::kCallback;
    }
    data_.server_context = context_;
    data_.Start();
    data_.Admit(MetadataView(metadata));
    data_.server_context = nullptr;
    if (data_.rejection != nullptr) Reject();
    InstallCallContext(metadata, &data_.context);
    data_.generic =
        data_.WantsMessages() && (data_.method.info->messages->are_bytes || IsGeneric());
    ReceiveMessage(batch);
  }

  // Whatever handles the call: its status and trailers are replaced (SendStatus). Where the handler
  // cannot be kept from running, the peer at least need not wait for it.
  void Reject() noexcept {
    const grpc::Status& status = data_.rejection->verdict.status;
    data_.context = data_.context.With(kRejectionKey, status);
    if (data_.method.info->guarded || (api_ != ServerApi::kCallback && ThisThreadRejects())) return;
    data_.method.chain->guards().WarnOf(data_.method.info->description.service);
    grpc_call_cancel_with_status(context_->c_call(),
                                 static_cast<grpc_status_code>(status.error_code()),
                                 status.error_message().c_str(), nullptr);
  }

  void After(Batch& batch) noexcept {
    ReceiveMessage(batch);
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA)) {
      data_.SendMetadata(*batch.GetSendInitialMetadata());
    }
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE)) {
      data_.SendMessage(batch);
    }
    // In the batch of a reply it tells whether the status went out, too.
    if (batch.QueryInterceptionHookPoint(Hook::POST_SEND_MESSAGE) &&
        !batch.GetSendMessageStatus()) {
      data_.Set(CallData::kCancelled);
    }
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) SendStatus(batch);
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_CLOSE)) PeerClosed();
  }

  void ReceiveMessage(Batch& batch) noexcept {
    if (!batch.QueryInterceptionHookPoint(Hook::POST_RECV_MESSAGE)) return;
    if (void* const message = batch.GetRecvMessage()) data_.ReceiveMessage(message);
  }

  bool IsGeneric() const noexcept {
    return typeid(*context_) == typeid(grpc::GenericServerContext) ||
           typeid(*context_) == typeid(grpc::GenericCallbackServerContext);
  }

  static int PreviousAttempts(const MetadataView& metadata) noexcept {
    int attempts = 0;
    if (const auto text = metadata.Get("grpc-previous-rpc-attempts")) {
      std::from_chars(text->data(), text->data() + text->size(), attempts);
    }
    return attempts;
  }

  // FiberServer says so around the operation that brought us here.
  bool InFiber() const noexcept {
    const auto* const call = Context::View().Find(kFiberCallKey);
    return call != nullptr && *call == context_;
  }

  void SendStatus(Batch& batch) noexcept {
    if (api_ != ServerApi::kCallback) {
      api_ = t_handled == this ? ServerApi::kSync
             : InFiber()       ? ServerApi::kFiber
                               : ServerApi::kCompletionQueue;
    }
    // gRPC tells a synchronous call's cancellation only to those who ask. A reply's own batch fails
    // when it is cancelled (see After), a status without a message tells nothing.
    if (api_ == ServerApi::kSync && data_.method.info->description.kind >= RpcKind::kServerStream &&
        !data_.Is(CallData::kPeerClosed)) {
      context_->IsCancelled();
    }
    data_.SendTrailers(*batch.GetSendTrailingMetadata());
    status_ = batch.GetSendStatus();
    const grpc::StatusCode code = status_.error_code();
    const std::string message = status_.error_message();
    if (data_.rejection != nullptr) status_ = data_.rejection->verdict.status;
    data_.Status(status_);
    if (status_.error_code() != code || status_.error_message() != message) {
      batch.ModifySendStatus(status_);
    }
    end_ = data_.method.chain->Now();
    if ((data_.Set(CallData::kStatusSent) & CallData::kPeerClosed) != 0) End();
  }

  void PeerClosed() noexcept {
    // Before the status it can only mean that the peer has gone. After it: a callback call may be
    // asked; for the others see SendStatus and After. A completion queue's call must not be asked,
    // and its context may be gone.
    if (!data_.Is(CallData::kStatusSent)) {
      data_.Set(CallData::kCancelled);
      closed_ = data_.method.chain->Now();
    } else if (api_ == ServerApi::kCallback && context_->IsCancelled()) {
      data_.Set(CallData::kCancelled);
    }
    if ((data_.Set(CallData::kPeerClosed) & CallData::kStatusSent) != 0) End();
  }

  // Who ends it after the verdict, and how, says nothing more about the call.
  void EndRejected() noexcept {
    if (!data_.Is(CallData::kStatusSent)) status_ = data_.rejection->verdict.status;
    data_.End({.status = status_, .api = api_, .end = end_});
  }

  void End() noexcept {
    if (data_.Is(CallData::kEnded)) return;
    const bool abandoned = !data_.Is(CallData::kStatusSent);
    if (abandoned) {
      end_ = data_.method.chain->Now();
      status_ = grpc::Status(grpc::StatusCode::CANCELLED,
                             "the handler dropped the call without a status");
      if (t_handled == this) api_ = ServerApi::kSync;
    }
    if (data_.rejection != nullptr) return EndRejected();
    const auto known = data_.Is(CallData::kCancelled) && closed_ ? *closed_ : end_;
    const bool expired = data_.deadline_passed(known);
    const bool cancelled = expired || data_.Is(CallData::kCancelled);
    if (cancelled && !abandoned && status_.ok()) {
      status_ = expired ? grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                       "the deadline passed before the reply")
                        : grpc::Status(grpc::StatusCode::CANCELLED,
                                       "the caller went away before the reply");
    }
    data_.End({.status = status_,
               .api = api_,
               .cancelled = cancelled,
               .deadline_exceeded = expired,
               .abandoned = abandoned,
               .end = end_});
  }

  CallData data_;
  grpc::ServerContextBase* context_;
  ServerApi api_ = ServerApi::kCompletionQueue;
  // Written before kStatusSent and kPeerClosed are set, read after.
  grpc::Status status_;
  std::chrono::system_clock::time_point end_;
  std::optional<std::chrono::system_clock::time_point> closed_;
};

RpcKind KindOf(grpc::experimental::ServerRpcInfo::Type type) noexcept {
  using Type = grpc::experimental::ServerRpcInfo::Type;
  switch (type) {
    case Type::CLIENT_STREAMING:
      return RpcKind::kClientStream;
    case Type::SERVER_STREAMING:
      return RpcKind::kServerStream;
    case Type::BIDI_STREAMING:
      return RpcKind::kBidiStream;
    default:
      return RpcKind::kUnary;
  }
}

bool AllSkip(const MethodInfo& info, const grpc::ServerContextBase& context) noexcept {
  const MetadataView metadata(context);
  return std::ranges::all_of(info.links, [&](const MethodInfo::Link& link) {
    return link.middleware->Skips(info.description, metadata);
  });
}

}  // namespace

grpc::experimental::Interceptor* ServerCallFactory::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  MethodRef method = chain_->Find(info->method(), KindOf(info->type()));
  if (method.info->links.empty()) return nullptr;
  if (AllSkip(*method.info, *info->server_context())) return nullptr;
  const std::size_t state_bytes = method.info->state_bytes;
  return new (state_bytes) ServerCall(std::move(method), info->server_context());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
