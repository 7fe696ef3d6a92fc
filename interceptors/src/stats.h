// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <weft/interceptors/interceptor_stats.h>
#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

void CountStarted(CallSide side) noexcept;
void CountEnded(CallSide side) noexcept;
void CountHeaderProblem(std::string_view code) noexcept;
void CountDroppedHeader(std::string_view reason) noexcept;
void CountHookFailure() noexcept;
void CountHandlerException() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
