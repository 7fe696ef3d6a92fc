// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set_interface.h>
#include <grpcpp/support/interceptor.h>

namespace weft {
inline namespace v0 {
namespace internal {

// Batches of a call with an interceptor, started so that they end like those of a call without one:
// gRPC would take each through its queue once more, to run the interceptor at the batch's end. None
// of these is for PRE_SEND_CANCEL.

/// The batch's own copy of what gRPC knows of the call.
grpc::internal::Call& CallOf(grpc::experimental::InterceptorBatchMethods& batch) noexcept;

/// The operations of a batch that is about to start; null: it has ended.
grpc::internal::CallOpSetInterface* OperationsToStart(
    grpc::experimental::InterceptorBatchMethods& batch) noexcept;

/// In the place of `batch.Proceed()`, once the hooks before sending have run: afterwards the call
/// may be over. Only where no other interceptor wants to see the batch.
void StartWithoutHooks(grpc::experimental::InterceptorBatchMethods& batch) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
