// SPDX-License-Identifier: Apache-2.0
#include "client_operations.h"

#include <typeinfo>

#include <google/protobuf/message_lite.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/support/client_interceptor.h>

#include "private_member.h"

namespace weft {
inline namespace v0 {
namespace internal {

using grpc::internal::InterceptorBatchMethodsImpl;

struct BatchCallTag {
  friend constexpr auto Get(BatchCallTag);
};
struct BatchOperationsTag {
  friend constexpr auto Get(BatchOperationsTag);
};
struct BatchEndedTag {
  friend constexpr auto Get(BatchEndedTag);
};
struct InterceptorsTag {
  friend constexpr auto Get(InterceptorsTag);
};
struct RpcInfoTag {
  friend constexpr auto Get(RpcInfoTag);
};
struct CompleteAvalanchingTag {
  friend constexpr auto Get(CompleteAvalanchingTag);
};
template struct PrivateMember<&InterceptorBatchMethodsImpl::call_, BatchCallTag>;
template struct PrivateMember<&InterceptorBatchMethodsImpl::ops_, BatchOperationsTag>;
template struct PrivateMember<&InterceptorBatchMethodsImpl::reverse_, BatchEndedTag>;
template struct PrivateMember<&grpc::experimental::ClientRpcInfo::interceptors_, InterceptorsTag>;
template struct PrivateMember<&grpc::internal::Call::client_rpc_info_, RpcInfoTag>;
template struct PrivateMember<&grpc::CompletionQueue::CompleteAvalanching, CompleteAvalanchingTag>;

namespace {

using grpc::internal::CallOpClientRecvStatus;
using grpc::internal::CallOpClientSendClose;
using grpc::internal::CallOpRecvInitialMetadata;
using grpc::internal::CallOpRecvMessage;
using grpc::internal::CallOpSendInitialMetadata;
using grpc::internal::CallOpSendMessage;
using grpc::internal::CallOpSet;

/// What streams of all APIs write with: at its end there is nothing to see.
using Write = CallOpSet<CallOpSendInitialMetadata, CallOpSendMessage, CallOpClientSendClose>;

/// All of a unary call of a generated stub on a completion queue.
using Unary = CallOpSet<CallOpSendInitialMetadata, CallOpSendMessage, CallOpClientSendClose,
                        CallOpRecvInitialMetadata, CallOpRecvMessage<google::protobuf::MessageLite>,
                        CallOpClientRecvStatus>;

}  // namespace

bool ClientOperations::Start(Batch& batch) noexcept {
  auto& shown = static_cast<InterceptorBatchMethodsImpl&>(batch);
  if (shown.*Get(BatchEndedTag())) return false;
  grpc::internal::Call& call = *(shown.*Get(BatchCallTag()));  // the batch's own
  grpc::internal::CallOpSetInterface& operations = *(shown.*Get(BatchOperationsTag()));
  if ((call.client_rpc_info()->*Get(InterceptorsTag())).size() != 1) return false;
  if (typeid(operations) == typeid(Unary)) {
    // Without a status it asks for the initial metadata only.
    if (batch.GetRecvStatus() == nullptr || operations.core_cq_tag() != &operations) return false;
    static_cast<Unary&>(operations)
        .set_core_cq_tag(static_cast<grpc::internal::CompletionQueueTag*>(this));
    unary_ = &operations;
    unary_batch_ = &batch;
  } else if (typeid(operations) != typeid(Write)) {
    return false;
  }
  // The batch then ends as that of a call without interceptors.
  call.*Get(RpcInfoTag()) = nullptr;
  grpc::CompletionQueue& queue = *call.cq();
  operations.ContinueFillOpsAfterInterception();
  // For an interceptor gRPC keeps the queue open until the batch has ended.
  (queue.*Get(CompleteAvalanchingTag()))();
  return true;
}

bool ClientOperations::FinalizeResult(void** tag, bool* status) {
  const bool is_over = unary_->FinalizeResult(tag, status);
  Ended(*unary_batch_);
  return is_over;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
