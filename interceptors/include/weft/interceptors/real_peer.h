// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

/// Whose word about the caller is taken. Exactly one of `trusted` and `hops` is to be set.
struct RealPeerOptions {
  /// Addresses and networks of the proxies, such as `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`; or
  /// `unix`.
  std::vector<std::string> trusted{};
  /// How many proxies every call passes, whatever their addresses. Only right when nobody can reach
  /// the server around them.
  int hops = 0;
  /// Where each proxy appends the address that it was called from.
  std::string header = "x-forwarded-for";
};

/// On a server: finds the address of the caller behind proxies.
///
///     auto real_peer = weft::RealPeer({.trusted = {"10.0.0.0/8"}});
///     weft::InterceptServer(builder, {.tracer = tracer,
///                                     .middlewares = {*real_peer, weft::Logging(log), limit}});
///     ...
///     Log(weft::CurrentRealPeer());   // in a handler
///
/// Read from the end, since a caller may write what he likes at the front of the header: the first
/// address that is no trusted proxy's, or the one that `hops` names. Where the header ends before
/// that or holds no address, what the last trusted proxy's word gave stands; with `hops` the
/// address of the connection.
///
/// Logging writes it as `peer.address` when it comes later in the list; RateLimit of kPeer counts
/// by it.
///
/// Errors: InvalidArgument names the option, and the network that cannot be read.
absl::StatusOr<std::shared_ptr<Middleware>> RealPeer(RealPeerOptions options);

/// The address, without a port, of who made the call that the calling stack handles. Empty: no
/// RealPeer saw the call, or it came through a Unix socket. Valid while its context is current.
std::string_view CurrentRealPeer() noexcept;
/// The same of a context: in a middleware after RealPeer, `RealPeerOf(call.context())`.
std::string_view RealPeerOf(ContextView context) noexcept;

}  // namespace v0
}  // namespace weft
