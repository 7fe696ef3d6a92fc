// SPDX-License-Identifier: Apache-2.0
#include "batch_start.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/call_op_set.h>

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
struct ClientInfoTag {
  friend constexpr auto Get(ClientInfoTag);
};
struct ServerInfoTag {
  friend constexpr auto Get(ServerInfoTag);
};
struct CompleteAvalanchingTag {
  friend constexpr auto Get(CompleteAvalanchingTag);
};
template struct PrivateMember<&InterceptorBatchMethodsImpl::call_, BatchCallTag>;
template struct PrivateMember<&InterceptorBatchMethodsImpl::ops_, BatchOperationsTag>;
template struct PrivateMember<&InterceptorBatchMethodsImpl::reverse_, BatchEndedTag>;
template struct PrivateMember<&grpc::internal::Call::client_rpc_info_, ClientInfoTag>;
template struct PrivateMember<&grpc::internal::Call::server_rpc_info_, ServerInfoTag>;
template struct PrivateMember<&grpc::CompletionQueue::CompleteAvalanching, CompleteAvalanchingTag>;

grpc::internal::Call& CallOf(grpc::experimental::InterceptorBatchMethods& batch) noexcept {
  return *(static_cast<InterceptorBatchMethodsImpl&>(batch).*Get(BatchCallTag()));
}

grpc::internal::CallOpSetInterface* OperationsToStart(
    grpc::experimental::InterceptorBatchMethods& batch) noexcept {
  auto& shown = static_cast<InterceptorBatchMethodsImpl&>(batch);
  return shown.*Get(BatchEndedTag()) ? nullptr : shown.*Get(BatchOperationsTag());
}

void StartWithoutHooks(grpc::experimental::InterceptorBatchMethods& batch) noexcept {
  grpc::internal::Call& call = CallOf(batch);
  call.*Get(ClientInfoTag()) = nullptr;
  call.*Get(ServerInfoTag()) = nullptr;
  grpc::CompletionQueue& queue = *call.cq();
  OperationsToStart(batch)->ContinueFillOpsAfterInterception();
  // For an interceptor gRPC keeps the queue open until the batch has ended.
  (queue.*Get(CompleteAvalanchingTag()))();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
