// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/interceptors/middleware.h>
#include <weft/tracing/run.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// On a server the call's own run; on a client the run that made the call. Empty: there is none.
inline RunContext RunOf(const Call& call) noexcept { return weft::RunOf(call.context()).context(); }

}  // namespace internal
}  // namespace v0
}  // namespace weft
