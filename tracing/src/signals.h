// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft {
inline namespace v0 {
namespace internal {

/// Lets the calling thread, one of weft's own, take no signal: they are for the threads of the
/// program, where handlers and sigwait() expect them, and a write to a pipe that nobody reads is
/// an error here instead of the end of the process. Faults and profilers' timers stay.
void BlockSignals() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
