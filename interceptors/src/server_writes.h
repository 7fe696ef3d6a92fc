// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/impl/call_op_set_interface.h>
#include <grpcpp/impl/codegen/completion_queue_tag.h>
#include <grpcpp/support/interceptor.h>

#include "server_call.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Starts what a stream of a completion queue writes past gRPC's interceptors (batch_start.h). It
/// is the tag of those batches, to hear how they went.
class ServerWrites final : private grpc::internal::CompletionQueueTag {
 public:
  explicit ServerWrites(ServerCall* call) noexcept : call_(*call) {}

  /// In the place of `batch.Proceed()` when the hooks before sending have run. False: it is to go
  /// on as always. True: it has started, and the call may be over.
  bool Start(grpc::experimental::InterceptorBatchMethods& batch) noexcept;

 private:
  bool FinalizeResult(void** tag, bool* status) override;

  ServerCall& call_;
  grpc::internal::CallOpSetInterface* write_ = nullptr;  // a stream has one at a time
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
