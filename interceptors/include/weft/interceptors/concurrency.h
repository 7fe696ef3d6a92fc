// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

struct ConcurrencyOptions {
  std::size_t limit = 0;  ///< Calls in flight.
};

/// On a server: bounds how many calls are handled at once. One more is rejected before its handler
/// runs, with RESOURCE_EXHAUSTED.
///
///     weft::InterceptServer(builder,
///                           {.tracer = tracer,
///                            .middlewares = {{weft::Concurrency({.limit = 64}),
///                            "/shop.Search/*"}}});
///     weft::RegisterService(builder, &search);
///
/// A call counts until it has ended: a stream as long as it is open. What several places of a list
/// or several servers share counts together.
///
/// Cost: two atomic additions.
std::shared_ptr<Middleware> Concurrency(ConcurrencyOptions options);

}  // namespace v0
}  // namespace weft
