// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace weft {
inline namespace v0 {
namespace internal {

/// One moment by both clocks.
struct Times {
  std::chrono::system_clock::time_point wall;
  std::chrono::steady_clock::time_point steady;
};

/// Now. Who asks often pays for one clock: how far they are apart is measured every ten
/// milliseconds, so for as long a step of the wall clock may not be seen. Both are slewed alike.
Times ReadClocks() noexcept;

/// The wall clock as the kernel noted it last: up to a tick of it ago (1 to 10 ms), and a tenth of
/// the price.
std::chrono::system_clock::time_point ReadCoarseClock() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
