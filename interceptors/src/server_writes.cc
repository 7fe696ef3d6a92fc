// SPDX-License-Identifier: Apache-2.0
#include "server_writes.h"

#include <typeinfo>

#include <grpcpp/impl/call_op_set.h>

#include "batch_start.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

/// What streams write with; a callback's have a tag of their own.
using Write = grpc::internal::CallOpSet<grpc::internal::CallOpSendInitialMetadata,
                                        grpc::internal::CallOpSendMessage,
                                        grpc::internal::CallOpServerSendStatus>;

}  // namespace

bool ServerWrites::Start(grpc::experimental::InterceptorBatchMethods& batch) noexcept {
  using Hook = grpc::experimental::InterceptionHookPoints;
  // A cancellation comes as a batch of another class. The end of a batch with a status is the
  // call's.
  if (!batch.QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE) ||
      batch.QueryInterceptionHookPoint(Hook::PRE_SEND_STATUS)) {
    return false;
  }
  grpc::internal::CallOpSetInterface* const operations = OperationsToStart(batch);
  if (operations == nullptr || typeid(*operations) != typeid(Write)) return false;
  auto* const own = static_cast<grpc::internal::CompletionQueueTag*>(this);
  if (operations->core_cq_tag() != own) {
    if (operations->core_cq_tag() != operations) return false;
    static_cast<Write*>(operations)->set_core_cq_tag(own);
  }
  write_ = operations;
  StartWithoutHooks(batch);
  return true;
}

bool ServerWrites::FinalizeResult(void** tag, bool* status) {
  if (!*status) call_.SetCancelled();
  return write_->FinalizeResult(tag, status);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
