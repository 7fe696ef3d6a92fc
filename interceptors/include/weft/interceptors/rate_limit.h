// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

/// What calls share a limit.
enum class RateLimitKey : std::uint8_t {
  kTotal,
  kMethod,
  /// Server: the address that RealPeer found, else the connection's. Client: the channel's target.
  kPeer,
  /// Server: what Auth found. Client: the same of the handled call that makes this one. Calls
  /// without an identity share one limit.
  kIdentity,
};

struct RateLimitOptions {
  double per_second = 0;  ///< Calls on average. 0 and less: none gets through.
  double burst = 0;       ///< Calls at once; less than 1: as many as in a second, at least 1.
  RateLimitKey key = RateLimitKey::kTotal;
  /// How many peers or identities are told apart; beyond, who has not called for longest is
  /// forgotten and starts afresh.
  std::size_t max_keys = 10'000;
};

/// On a server: a token bucket. Calls beyond it are rejected before their handler runs, with
/// RESOURCE_EXHAUSTED and the trailing metadata `retry-after`: seconds to wait.
///
///     weft::InterceptServer(builder,
///                           {.tracer = tracer,
///                            .middlewares = {weft::RateLimit({.per_second = 500}),
///                                            weft::Auth(check),
///                                            weft::RateLimit({.per_second = 5,
///                                                             .key =
///                                                             weft::RateLimitKey::kIdentity})}});
///     builder.RegisterService(&cart);
///
/// Where it stands in the list decides what it counts: after Auth only calls that were let in.
///
/// On a client: calls beyond it end at once with the same status and metadata, and nothing of them
/// is sent.
///
/// Threads: kTotal and kMethod take no lock; the others a short one.
std::shared_ptr<Middleware> RateLimit(RateLimitOptions options);

}  // namespace v0
}  // namespace weft
