// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/impl/call_op_set_interface.h>
#include <grpcpp/impl/codegen/completion_queue_tag.h>
#include <grpcpp/support/interceptor.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Starts the batches of a client's call past gRPC's interceptors where it can: gRPC takes each
/// batch of a call that has one through the queue once more, to run it at the batch's end.
class ClientOperations : private grpc::internal::CompletionQueueTag {
 public:
  using Batch = grpc::experimental::InterceptorBatchMethods;

 protected:
  ~ClientOperations() override = default;

  /// In the place of `batch.Proceed()` when the hooks before sending have run, on the thread that
  /// makes the batch. False: it is to go on as always. True: it has started, and the call may be
  /// over.
  bool Start(Batch& batch) noexcept;

 private:
  /// A unary call that was started so is over; `batch` shows its end as it would show it to hooks.
  virtual void Ended(Batch& batch) noexcept = 0;

  bool FinalizeResult(void** tag, bool* status) override;

  grpc::internal::CallOpSetInterface* unary_ = nullptr;
  Batch* unary_batch_ = nullptr;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
