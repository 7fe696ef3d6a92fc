// SPDX-License-Identifier: Apache-2.0
#include "server_operations.h"

#include <typeinfo>
#include <utility>

#include <grpcpp/impl/call_op_set.h>

#include "private_member.h"

namespace weft {
inline namespace v0 {
namespace internal {

// Where gRPC says that a callback call is over.
struct CompletionTag {
  friend constexpr auto Get(CompletionTag);
};
struct CompletionFunctionTag {
  friend constexpr auto Get(CompletionFunctionTag);
};
template struct PrivateMember<&grpc::ServerContextBase::completion_tag_, CompletionTag>;
template struct PrivateMember<&grpc::internal::CallbackWithSuccessTag::func_,
                              CompletionFunctionTag>;

namespace {

using grpc::internal::CallOpSendInitialMetadata;
using grpc::internal::CallOpSendMessage;
using grpc::internal::CallOpServerSendStatus;
using grpc::internal::CallOpSet;
using grpc::internal::CallOpSetInterface;
using grpc::internal::InterceptorBatchMethodsImpl;
using Hook = grpc::experimental::InterceptionHookPoints;

// What an operation shows to hooks, for one that has none. Protected in gRPC, for its operation
// sets: a class that derives from one may name the member, and the name is of the base.
template <typename Op>
struct Shown : Op {
  static void To(InterceptorBatchMethodsImpl& batch, Op& op) {
    (op.*(&Shown::SetInterceptionHookPoint))(&batch);
  }
};

template <typename... Ops>
bool ShowIf(InterceptorBatchMethodsImpl& batch, CallOpSetInterface& set) {
  if (typeid(set) != typeid(CallOpSet<Ops...>)) return false;
  (Shown<Ops>::To(batch, static_cast<CallOpSet<Ops...>&>(set)), ...);
  return true;
}

template <typename Op>
void ShowPart(InterceptorBatchMethodsImpl& batch, CallOpSetInterface& set) {
  if (auto* const op = dynamic_cast<Op*>(&set)) Shown<Op>::To(batch, *op);
}

/// The hook points that `set` would reach.
void Show(InterceptorBatchMethodsImpl& batch, CallOpSetInterface& set) {
  // The sets that the handlers of gRPC 1.51 use, most frequent first.
  if (ShowIf<CallOpSendInitialMetadata, CallOpSendMessage, CallOpServerSendStatus>(batch, set) ||
      ShowIf<CallOpSendInitialMetadata, CallOpSendMessage>(batch, set) ||
      ShowIf<CallOpSendInitialMetadata, CallOpServerSendStatus>(batch, set) ||
      ShowIf<CallOpSendInitialMetadata>(batch, set)) {
    return;
  }
  ShowPart<CallOpSendInitialMetadata>(batch, set);
  ShowPart<CallOpSendMessage>(batch, set);
  ShowPart<CallOpServerSendStatus>(batch, set);
}

}  // namespace

ServerCall::ReceivedMetadata& MetadataOf(grpc::ServerContextBase& context) noexcept {
  // gRPC has it for interceptors to change.
  return const_cast<ServerCall::ReceivedMetadata&>(context.client_metadata());
}

void Send(ServerCall& call, CallOpSetInterface& ops) noexcept {
  InterceptorBatchMethodsImpl batch;
  Show(batch, ops);
  call.Send(batch);
  if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) call.SendStatus(batch);
}

grpc::internal::CallbackWithSuccessTag& CompletionOf(grpc::ServerContextBase& context) noexcept {
  return context.*Get(CompletionTag());
}

std::function<void(bool)>& FunctionOf(grpc::internal::CallbackWithSuccessTag& completion) noexcept {
  return completion.*Get(CompletionFunctionTag());
}

Context ReceivedContext(MethodRef method, grpc::ServerContextBase& context) noexcept {
  CallData data(std::move(method), nullptr);
  data.start = data.method.chain->Now();
  data.deadline = ToDeadline(context.raw_deadline());
  data.ReceiveOnly(MetadataView(context));
  return std::move(data.context);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
