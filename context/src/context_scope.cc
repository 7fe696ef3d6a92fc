// SPDX-License-Identifier: Apache-2.0
#include <weft/context/context_scope.h>

#include <atomic>
#include <utility>

#include <weft/context/context_stats.h>

#include "context_counters.h"
#include "slot_pool.h"
#include "stack_slot.h"

namespace weft {
inline namespace v0 {
namespace internal {

constinit ContextCounters counters;

void ReportMisuse(ContextMisuse misuse) noexcept {
  std::atomic<std::uint64_t>& counter = misuse == ContextMisuse::kWrongStack ? counters.wrong_stack
                                        : misuse == ContextMisuse::kStale    ? counters.stale
                                                                          : counters.out_of_order;
  counter.fetch_add(1, std::memory_order_relaxed);
  if (ContextMisuseHandler handler = counters.misuse_handler.load()) handler(misuse);
}

// The rest of this class is where the slots are found: stack_slot.cc.
[[gnu::cold]] void BorrowingScope::CloseElsewhere() noexcept {
  // A coroutine that waits is being destroyed: nobody else uses its slot now.
  if (slot_->suspended.load(std::memory_order_acquire)) return Close();
  Reference(node_);
  ReportMisuse(ContextMisuse::kWrongStack);
}

[[gnu::cold]] void BorrowingScope::CloseOutOfTurn() noexcept {
  if (number_ > slot_->innermost || number_ <= slot_->cut_off) {
    // Once something was cut off, an open scope may have this context to return to.
    Reference(node_);
    ReportMisuse(ContextMisuse::kStale);
    return;
  }
  slot_->current = previous_;
  slot_->innermost = previous_number_;
  slot_->cut_off = slot_->last_number;
  ReportMisuse(ContextMisuse::kOutOfOrder);
}

}  // namespace internal

ContextStats ContextStats::Read() noexcept {
  const auto& counters = internal::counters;
  return {.wrong_stack = counters.wrong_stack.load(std::memory_order_relaxed),
          .out_of_order = counters.out_of_order.load(std::memory_order_relaxed),
          .stale = counters.stale.load(std::memory_order_relaxed),
          .foreign_stack = counters.foreign_stack.load(std::memory_order_relaxed),
          .failed_allocations = counters.failed_allocations.load(std::memory_order_relaxed),
          .slots_live = internal::slot_pool.live(),
          .slots_total = internal::slot_pool.total()};
}

ContextMisuseHandler SetContextMisuseHandler(ContextMisuseHandler handler) noexcept {
  return internal::counters.misuse_handler.exchange(handler);
}

}  // namespace v0
}  // namespace weft
