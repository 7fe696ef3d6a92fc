// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/server_context.h>

#include <weft/context/context.h>

namespace weft {
inline namespace v0 {

/// The context that weft's server interceptor gave to a call: where the handler's work belongs.
///
///     void Call::OnRequest() {  // a tag of a completion queue came out
///       weft::ContextScope scope(weft::ContextOf(server_context_));
///       Answer();
///     }
///
/// Synchronous handlers and the methods of callback services do without: there the context is
/// current already. Works for every flavour, from the arrival of the request to the end of the
/// call.
///
/// Returns the root when no interceptor of weft saw the call.
/// Threads: any, while `context` lives.
/// Cost: one search in the metadata of the call; see bench/context_benchmark.cc.
Context ContextOf(const grpc::ServerContextBase& context) noexcept;

}  // namespace v0
}  // namespace weft
