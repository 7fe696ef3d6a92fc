// SPDX-License-Identifier: Apache-2.0
#include "client_call.h"

#include <cstddef>
#include <utility>

#include <weft/async/internal/call_sentinel.h>

#include "call_data.h"
#include "message_content.h"
#include "private_member.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct SentMetadataTag {
  friend constexpr auto Get(SentMetadataTag);
};
template struct PrivateMember<&grpc::ClientContext::send_initial_metadata_, SentMetadataTag>;

namespace {

using Hook = grpc::experimental::InterceptionHookPoints;

void Describe(CallData& data, const grpc::ClientContext& context) noexcept {
  data.start = data.method.chain->Now();
  data.deadline = ToDeadline(context.raw_deadline());
  data.context = Context::Current();
}

class ClientCall final : public grpc::experimental::Interceptor,
                         public WithTrailingStates<ClientCall> {
 public:
  using WithTrailingStates<ClientCall>::operator new;
  using WithTrailingStates<ClientCall>::operator delete;

  ClientCall(MethodRef method, grpc::experimental::ClientRpcInfo& info)
      : data_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset()) {
    Describe(data_, *info.client_context());
    data_.generic = data_.WantsMessages() && data_.method.info->messages->are_bytes;
  }

  // A stub that was never really started had no hook and is no call. The rest of those without a
  // status were dropped: the stream's owner let go of it without Finish.
  ~ClientCall() override {
    if (!data_.Is(CallData::kStarted) || data_.Is(CallData::kEnded)) return;
    const bool cancelled = data_.Is(CallData::kCancelled);
    const grpc::Status status(grpc::StatusCode::CANCELLED,
                              "the call was dropped before its status arrived");
    data_.End({.status = status,
               .cancelled = cancelled,
               .abandoned = !cancelled,
               .end = data_.method.chain->Now()});
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    BeforeSending(*batch);
    AfterReceiving(*batch);
    batch->Proceed();
  }

 private:
  void BeforeSending(grpc::experimental::InterceptorBatchMethods& batch) noexcept {
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_CANCEL)) data_.Set(CallData::kCancelled);
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA)) {
      auto& metadata = *batch.GetSendInitialMetadata();
      if (!metadata.empty()) RemoveForwardedSentinel(metadata);
      data_.Start();
      data_.SendMetadata(metadata);
    }
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE)) {
      data_.SendMessage(batch);
    }
  }

  void AfterReceiving(grpc::experimental::InterceptorBatchMethods& batch) noexcept {
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      data_.ReceiveMetadata(MetadataView(batch, MetadataView::Part::kInitial));
    }
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_MESSAGE)) {
      if (void* const message = batch.GetRecvMessage()) data_.ReceiveMessage(message);
    }
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_STATUS)) {
      data_.ReceiveTrailers(MetadataView(batch, MetadataView::Part::kTrailing));
      grpc::Status& status = *batch.GetRecvStatus();
      data_.Status(status);
      data_.End({.status = status,
                 .cancelled = data_.Is(CallData::kCancelled) ||
                              status.error_code() == grpc::StatusCode::CANCELLED,
                 .deadline_exceeded = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED,
                 .end = data_.method.chain->Now()});
    }
  }

  CallData data_;
};

RpcKind KindOf(grpc::experimental::ClientRpcInfo::Type type) noexcept {
  using Type = grpc::experimental::ClientRpcInfo::Type;
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

// Writes what a hook would write, if nothing else is to be done: gRPC looks at the metadata of the
// context only after all interceptors are made. The map is that of the application's own
// AddMetadata calls, so that a header is replaced rather than sent twice.
bool SendsOnlyHeaders(MethodRef& method, grpc::ClientContext& context) noexcept {
  MetadataWriter::Map& metadata = context.*Get(SentMetadataTag());
  if (!NeedsOnlyHeaders(*method.info, metadata)) return false;
  if (!metadata.empty()) RemoveForwardedSentinel(metadata);
  CallData data(std::move(method), nullptr);
  Describe(data, context);
  data.SendOnlyHeaders(metadata);
  return true;
}

}  // namespace

grpc::experimental::Interceptor* ClientCallFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  MethodRef method = chain_->Find(info->method(), KindOf(info->type()));
  if (method.info->links.empty()) return nullptr;
  if (SendsOnlyHeaders(method, *info->client_context())) return nullptr;
  const std::size_t state_bytes = method.info->state_bytes;
  return new (state_bytes) ClientCall(std::move(method), *info);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
