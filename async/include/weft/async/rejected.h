// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

namespace weft {
inline namespace v0 {

/// The status with which weft's server interceptor rejected a call, or null: what a
/// completion-queue loop asks before it handles a call.
///
///     void Call::OnRequest() {  // a tag of a completion queue came out
///       if (const grpc::Status* rejected = weft::Rejected(server_context_)) {
///         return writer_.FinishWithError(*rejected, this);
///       }
///       weft::ContextScope scope(weft::ContextOf(server_context_));
///       Answer();
///     }
///
/// Other handlers than those of completion queues need not ask: they do not run for a rejected
/// call.
///
/// Lifetime: valid as long as `context`.
/// Threads: any.
/// Cost: one search in the metadata of the call, as of ContextOf.
const grpc::Status* Rejected(const grpc::ServerContextBase& context) noexcept;

}  // namespace v0
}  // namespace weft
