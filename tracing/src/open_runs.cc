// SPDX-License-Identifier: Apache-2.0
#include "open_runs.h"

#include <algorithm>
#include <utility>

#include "signals.h"

namespace weft {
inline namespace v0 {
namespace internal {

using std::chrono::steady_clock;

OpenRuns::OpenRuns(std::chrono::milliseconds delay, std::shared_ptr<const Clock> clock) noexcept
    : delay_(delay), clock_(std::move(clock)) {}

void OpenRuns::Start() {
  thread_ = std::thread([self = shared_from_this()] { self->Loop(); });
}

steady_clock::time_point OpenRuns::Now() const noexcept {
  return clock_ ? clock_->Steady() : steady_clock::now();
}

// A thread keeps to one shard, so that its lock stays in the cache of that thread's processor. Not
// inlined: a fiber may have moved to another thread since its last call.
[[gnu::noinline]] std::uint8_t OpenRuns::ShardOfThread() noexcept {
  static constinit std::atomic<std::uint8_t> threads{0};
  thread_local const std::uint8_t shard = threads.fetch_add(1, std::memory_order_relaxed) % kShards;
  return shard;
}

void OpenRuns::Add(RunState& state) noexcept {
  state.shard_ = ShardOfThread();
  Shard& shard = shards_[state.shard_];
  {
    const std::lock_guard lock(shard.mutex);
    Link(shard, state);
    ++shard.added;
  }
  // Either Loop finds the run when it looks at the shard after it cleared the flag, or its look was
  // before ours, and then we see the cleared flag.
  if (!awake_.load(std::memory_order_relaxed)) Wake();
}

void OpenRuns::Remove(RunState& state) noexcept {
  Shard& shard = shards_[state.shard_];
  const std::lock_guard lock(shard.mutex);
  ++shard.removed;
  if (state.listed_) Unlink(shard, state);
}

void OpenRuns::TakeOver(RunState& state) noexcept {
  if (state.steady_start() <= Now() - delay_) return state.SendOpen();
  Shard& shard = shards_[state.shard_];
  {
    const std::lock_guard lock(shard.mutex);
    // Else its end, which comes here afterwards, has been here already.
    if (!state.recording()) return;
    Link(shard, state);
  }
  if (!awake_.load(std::memory_order_relaxed)) Wake();
}

void OpenRuns::Withdraw(RunState& state) noexcept {
  Shard& shard = shards_[state.shard_];
  const std::lock_guard lock(shard.mutex);
  if (state.listed_) Unlink(shard, state);
}

OpenRuns::Counts OpenRuns::counts() noexcept {
  Counts counts;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    counts.added += shard.added;
    counts.removed += shard.removed;
  }
  return counts;
}

void OpenRuns::Link(Shard& shard, RunState& state) noexcept {
  state.previous_ = shard.last;
  (shard.last != nullptr ? shard.last->next_ : shard.first) = &state;
  shard.last = &state;
  state.listed_ = true;
}

void OpenRuns::Unlink(Shard& shard, RunState& state) noexcept {
  (state.previous_ != nullptr ? state.previous_->next_ : shard.first) = state.next_;
  (state.next_ != nullptr ? state.next_->previous_ : shard.last) = state.previous_;
  state.previous_ = nullptr;
  state.next_ = nullptr;
  state.listed_ = false;
}

void OpenRuns::Wake() noexcept {
  const std::lock_guard lock(mutex_);
  if (awake_.exchange(true)) return;
  wakeup_.notify_one();
}

bool OpenRuns::Empty() noexcept {
  return std::all_of(shards_.begin(), shards_.end(), [](Shard& shard) {
    const std::lock_guard lock(shard.mutex);
    return shard.first == nullptr;
  });
}

void OpenRuns::SendStartedBefore(steady_clock::time_point limit) noexcept {
  for (Shard& shard : shards_) {
    while (true) {
      std::shared_ptr<RunState> state;
      {
        const std::lock_guard lock(shard.mutex);
        if (shard.first == nullptr || shard.first->steady_start() > limit) break;
        RunState& first = *shard.first;
        Unlink(shard, first);
        // Null: its last owner waits for this lock to take it off the list.
        state = first.weak_from_this().lock();
      }
      if (state) state->SendOpen();
    }
  }
}

void OpenRuns::SendAll() noexcept { SendStartedBefore(steady_clock::time_point::max()); }

void OpenRuns::Loop() noexcept {
  BlockSignals();
  const auto period =
      std::clamp(delay_ / 4, std::chrono::milliseconds(1), std::chrono::milliseconds(500));
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (!awake_.load()) {
      wakeup_.wait(lock, [this] { return stop_ || awake_.load(); });
      continue;
    }
    wakeup_.wait_for(lock, period, [this] { return stop_; });
    if (stop_) break;
    lock.unlock();
    SendStartedBefore(Now() - delay_);
    // Nothing open: sleep until Add wakes the thread, unless one came in between.
    if (Empty()) {
      awake_.store(false);
      if (!Empty()) awake_.store(true);
    }
    lock.lock();
  }
}

void OpenRuns::Stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wakeup_.notify_one();
  }
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
