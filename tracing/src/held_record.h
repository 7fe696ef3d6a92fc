// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <weft/tracing/run_record.h>
#include <weft/tracing/trace_baggage.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Leaves of a run that has ended what is kept in case that its trace fails: identity, times,
/// status, tags, and the beginnings of its inputs and metadata. What is cut says so.
void ShortenHeld(RunRecord& record);

/// The bytes that they occupy, about; without what they share with other runs.
std::size_t HeldBytes(const RunRecord& record) noexcept;
std::size_t HeldBytes(const TraceBaggage& baggage) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
