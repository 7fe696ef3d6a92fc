// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <weft/context/context.h>

namespace weft {
inline namespace v0 {
namespace internal {

// How a call carries its context on the server, for the interceptors: one more entry in the
// received metadata. It is recognised by the address of its key, which no peer can forge, needs no
// lock and no table, and ends with the call.

/// Makes `ContextOf` find `*context` for the call that `received` belongs to. Entries that a peer
/// sent with our key are removed. False when memory is out: `ContextOf` then returns the root.
///
/// Lifetime: `*context` must not change, and must outlive the call's server context.
bool InstallCallContext(std::multimap<grpc::string_ref, grpc::string_ref>& received,
                        const Context* context) noexcept;

/// Undoes it, for a context that ends before the server context does.
void RemoveCallContext(std::multimap<grpc::string_ref, grpc::string_ref>& received) noexcept;

/// The context installed in `received`, or null.
const Context* FindCallContext(
    const std::multimap<grpc::string_ref, grpc::string_ref>& received) noexcept;

/// The context installed for a call, or null when no interceptor of ours saw it.
const Context* FindCallContext(const grpc::ServerContextBase& context) noexcept;

/// Removes what a proxy copied by sending on all that it had received: our entry, and what a peer
/// says to its neighbour alone (`weft-keep`, `weft-hops`, `weft-messages`). True if there was any.
bool RemoveForwardedSentinel(std::multimap<std::string, std::string>& sent) noexcept;

/// In the context of a call that was rejected: what the peer is to get.
inline constexpr ContextKey<grpc::Status> kRejectionKey;

/// While it lives, whatever handles calls of completion queues on this thread asks `Rejected`
/// before: the interceptors then leave the answer to it.
class RejectingThread {
 public:
  RejectingThread() noexcept;
  ~RejectingThread();
  RejectingThread(const RejectingThread&) = delete;
  RejectingThread& operator=(const RejectingThread&) = delete;

 private:
  const bool outer_;
};
bool ThisThreadRejects() noexcept;

/// Tells the interceptors, while a handler of FiberServer sends its status, that the call with this
/// server context is one of a fiber.
inline constexpr ContextKey<const grpc::ServerContextBase*> kFiberCallKey;

}  // namespace internal
}  // namespace v0
}  // namespace weft
