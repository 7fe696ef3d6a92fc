// SPDX-License-Identifier: Apache-2.0
#include "client_operations.h"

#include <typeinfo>

#include <google/protobuf/message_lite.h>
#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/support/client_interceptor.h>

#include "batch_start.h"
#include "private_member.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct InterceptorsTag {
  friend constexpr auto Get(InterceptorsTag);
};
template struct PrivateMember<&grpc::experimental::ClientRpcInfo::interceptors_, InterceptorsTag>;

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
  grpc::internal::CallOpSetInterface* const operations = OperationsToStart(batch);
  if (operations == nullptr) return false;
  if ((CallOf(batch).client_rpc_info()->*Get(InterceptorsTag())).size() != 1) return false;
  if (typeid(*operations) == typeid(Unary)) {
    // Without a status it asks for the initial metadata only.
    if (batch.GetRecvStatus() == nullptr || operations->core_cq_tag() != operations) return false;
    static_cast<Unary*>(operations)
        ->set_core_cq_tag(static_cast<grpc::internal::CompletionQueueTag*>(this));
    unary_ = operations;
    unary_batch_ = &batch;
  } else if (typeid(*operations) != typeid(Write)) {
    return false;
  }
  StartWithoutHooks(batch);
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
