// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <weft/context/context_stats.h>

namespace weft {
inline namespace v0 {
namespace internal {

struct ContextCounters {
  std::atomic<std::uint64_t> wrong_stack{0};
  std::atomic<std::uint64_t> out_of_order{0};
  std::atomic<std::uint64_t> stale{0};
  std::atomic<std::uint64_t> foreign_stack{0};
  std::atomic<std::uint64_t> failed_allocations{0};
  std::atomic<ContextMisuseHandler> misuse_handler{nullptr};
};

// Usable before main and in static destructors.
extern constinit ContextCounters counters;

// Counts it and tells the handler.
void ReportMisuse(ContextMisuse misuse) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
