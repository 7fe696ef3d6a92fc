// SPDX-License-Identifier: Apache-2.0
#include "stats.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <tuple>

namespace weft {
inline namespace v0 {
namespace {

/// Counts by a code that comes from weft's own sources, so there are few.
class CodeCounts {
 public:
  void Add(std::string_view code) noexcept {
    const std::lock_guard lock(mutex_);
    ++counts_[std::string(code)];
  }
  std::map<std::string, std::uint64_t> Read() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> counts_;
};

/// Threads count in different places, so that they do not wait for each other's cache lines.
struct alignas(64) Shard {
  struct Side {
    std::atomic<std::uint64_t> started{0};
    std::atomic<std::uint64_t> ended{0};
  };
  std::array<Side, 2> sides;
};

struct Counters {
  std::array<Shard, 16> shards;
  CodeCounts header_problems;
  CodeCounts dropped_headers;
  std::atomic<std::uint64_t> hook_failures{0};
  std::atomic<std::uint64_t> handler_exceptions{0};
};

Counters& Get() noexcept {
  // Never destroyed: calls may still end while the program leaves.
  static Counters& counters = *new Counters;
  return counters;
}

// Not inlined: a fiber may have moved to another thread since its last call.
[[gnu::noinline]] Shard& ShardOfThread() noexcept {
  static constinit std::atomic<std::size_t> threads{0};
  thread_local const std::size_t shard = threads.fetch_add(1, std::memory_order_relaxed);
  return Get().shards[shard % std::tuple_size_v<decltype(Counters::shards)>];
}

}  // namespace

namespace internal {

void CountStarted(CallSide side) noexcept {
  ShardOfThread().sides[static_cast<std::size_t>(side)].started.fetch_add(
      1, std::memory_order_relaxed);
}
void CountEnded(CallSide side) noexcept {
  ShardOfThread().sides[static_cast<std::size_t>(side)].ended.fetch_add(1,
                                                                        std::memory_order_release);
}
void CountHeaderProblem(std::string_view code) noexcept { Get().header_problems.Add(code); }
void CountDroppedHeader(std::string_view reason) noexcept { Get().dropped_headers.Add(reason); }
void CountHookFailure() noexcept { Get().hook_failures.fetch_add(1, std::memory_order_relaxed); }
void CountHandlerException() noexcept {
  Get().handler_exceptions.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace internal

InterceptorStats GetInterceptorStats() {
  const Counters& counters = Get();
  InterceptorStats stats;
  // All ends before all starts, so that a reader never sees more ends than starts.
  for (const Shard& shard : counters.shards) {
    stats.client_ended += shard.sides[0].ended.load(std::memory_order_acquire);
    stats.server_ended += shard.sides[1].ended.load(std::memory_order_acquire);
  }
  for (const Shard& shard : counters.shards) {
    stats.client_started += shard.sides[0].started.load(std::memory_order_acquire);
    stats.server_started += shard.sides[1].started.load(std::memory_order_acquire);
  }
  stats.header_problems = counters.header_problems.Read();
  stats.dropped_headers = counters.dropped_headers.Read();
  stats.hook_failures = counters.hook_failures.load(std::memory_order_relaxed);
  stats.handler_exceptions = counters.handler_exceptions.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace v0
}  // namespace weft
