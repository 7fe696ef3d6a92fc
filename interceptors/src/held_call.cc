// SPDX-License-Identifier: Apache-2.0
#include "held_call.h"

#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {

bool Hold::Wait(std::function<void()> resume) {
  const std::lock_guard lock(mutex_);
  if (decision_ != Decision::kNone) return false;
  // The alarm keeps its function as long as it lives itself: a strong reference would be a cycle.
  alarm_.Set(until_, [weak = weak_from_this(), resume = std::move(resume)](bool /*in_time*/) {
    const std::shared_ptr<Hold> hold = weak.lock();
    hold->Decide(Decision::kLate);
    resume();
  });
  return true;
}

// Only the alarm resumes a call: so it never runs on the stack, or below the locks, of whoever
// releases or cancels it.
bool Hold::Decide(Decision decision) noexcept {
  const std::lock_guard lock(mutex_);
  if (decision_ != Decision::kNone) return false;
  decision_ = decision;
  alarm_.Cancel();
  return true;
}

std::optional<Verdict> Hold::TakeOutcome() noexcept {
  const std::lock_guard lock(mutex_);
  if (decision_ == Decision::kLate) return std::move(late_);
  return decision_ == Decision::kReleased ? std::optional(Verdict()) : std::nullopt;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
