// SPDX-License-Identifier: Apache-2.0
#include "sender_wait.h"

#include <utility>

#include <grpc/support/time.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

/// A deadline for gRPC that no step of the wall clock moves.
gpr_timespec In(SenderWait::Clock::duration wait) {
  using std::chrono::milliseconds;
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_millis(std::chrono::ceil<milliseconds>(wait).count(), GPR_TIMESPAN));
}

}  // namespace

SenderWait::~SenderWait() {
  completions_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (completions_.Next(&tag, &ok)) {
  }
}

void SenderWait::Wake() {
  const std::lock_guard lock(mutex_);
  if (resting_) {
    rung_ = true;
    bell_.notify_one();
    return;
  }
  armed_ = true;
  // At once: with the time zero the alarm needs no timer.
  alarm_.Set(&completions_, gpr_time_0(GPR_CLOCK_REALTIME), reinterpret_cast<void*>(kWakeTag));
}

SenderWait::Event SenderWait::Poll(Clock::duration longest) {
  void* tag = nullptr;
  bool ok = false;
  if (completions_.AsyncNext(&tag, &ok, In(longest)) != grpc::CompletionQueue::GOT_EVENT) return {};
  const auto number = reinterpret_cast<std::intptr_t>(tag);
  if (number != kWakeTag) return {Event::Kind::kCompletion, number, ok};
  const std::lock_guard lock(mutex_);
  armed_ = false;
  return {.kind = Event::Kind::kWoken};
}

SenderWait::Event SenderWait::Rest(Clock::duration longest) {
  if (const Event event = Poll(Clock::duration::zero()); event.kind != Event::Kind::kNone) {
    return event;
  }
  std::unique_lock lock(mutex_);
  if (armed_) return {};  // The next look finds it.
  resting_ = true;
  bell_.wait_for(lock, longest, [this] { return rung_; });
  resting_ = false;
  return {.kind = std::exchange(rung_, false) ? Event::Kind::kWoken : Event::Kind::kNone};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
