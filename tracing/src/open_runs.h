// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "run_state.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// The runs in progress, and the thread that sends those which stay open for long.
///
/// A run that starts and ends costs two short locks of a shard. The thread sleeps for good while
/// nothing is open; a run that starts then wakes it.
class OpenRuns : public std::enable_shared_from_this<OpenRuns> {
 public:
  OpenRuns(std::chrono::milliseconds delay, std::shared_ptr<const Clock> clock) noexcept;

  void Start();
  void Add(RunState& state) noexcept;
  void Remove(RunState& state) noexcept;
  /// A run that began earlier and is to be sent after all: now if it has been open for long enough.
  void TakeOver(RunState& state) noexcept;
  /// One that may have been taken over has ended.
  void Withdraw(RunState& state) noexcept;
  /// Sends everything that is open, however young.
  void SendAll() noexcept;
  /// How often Add and Remove were called: the numbers of runs that began and ended, counted where
  /// a lock is held anyway.
  struct Counts {
    std::uint64_t added = 0;
    std::uint64_t removed = 0;
  };
  Counts counts() noexcept;
  /// Ends the thread. May be called by that thread itself.
  void Stop() noexcept;

 private:
  struct alignas(64) Shard {
    std::mutex mutex;
    RunState* first = nullptr;
    RunState* last = nullptr;
    std::uint64_t added = 0;
    std::uint64_t removed = 0;
  };

  static std::uint8_t ShardOfThread() noexcept;
  static void Link(Shard& shard, RunState& state) noexcept;
  static void Unlink(Shard& shard, RunState& state) noexcept;
  void Wake() noexcept;
  void Loop() noexcept;
  std::chrono::steady_clock::time_point Now() const noexcept;
  void SendStartedBefore(std::chrono::steady_clock::time_point limit) noexcept;
  bool Empty() noexcept;

  const std::chrono::milliseconds delay_;
  const std::shared_ptr<const Clock> clock_;
  static constexpr std::uint8_t kShards = 8;
  std::array<Shard, kShards> shards_;
  std::atomic<bool> awake_{false};
  std::mutex mutex_;
  std::condition_variable wakeup_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
