// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

struct ConcurrencyOptions {
  std::size_t limit = 0;  ///< Calls in flight.
  /// How long a client's call may wait until another one ends; a server's never waits.
  std::chrono::nanoseconds max_wait{0};
  /// How many calls may wait.
  std::size_t max_waiting = 1000;
};

/// On a server: bounds how many calls are handled at once. One more is rejected before its handler
/// runs, with RESOURCE_EXHAUSTED.
///
///     weft::InterceptServer(builder,
///                           {.tracer = tracer,
///                            .middlewares = {{weft::Concurrency({.limit = 64}),
///                            "/shop.Search/*"}}});
///     builder.RegisterService(&search);
///
/// On a client: bounds how many calls are under way. One more waits `max_wait` at most, in the
/// order of arrival, then it ends with RESOURCE_EXHAUSTED; nothing of it was sent.
///
///     auto channel = weft::CreateChannel(target, credentials,
///                                        {.middlewares = {weft::Concurrency({.limit = 8,
///                                                                            .max_wait = 1s})}});
///
/// A synchronous stub blocks while its call waits, fibers and asynchronous callers do not. A call
/// whose deadline passes or that is cancelled while it waits ends as if it had been sent.
///
/// A call counts until it has ended: a stream as long as it is open. What several places of a list
/// or several servers and channels share counts together.
///
/// Cost: two atomic additions; with `max_wait` a short lock at the end of each call, too.
std::shared_ptr<Middleware> Concurrency(ConcurrencyOptions options);

}  // namespace v0
}  // namespace weft
