// SPDX-License-Identifier: Apache-2.0
#include "stats.h"

#include <array>
#include <atomic>
#include <mutex>

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

struct Counters {
  struct alignas(64) Side {
    std::atomic<std::uint64_t> started{0};
    std::atomic<std::uint64_t> ended{0};
  };
  std::array<Side, 2> sides;
  CodeCounts header_problems;
  CodeCounts dropped_headers;
  std::atomic<std::uint64_t> hook_failures{0};
};

Counters& Get() noexcept {
  // Never destroyed: calls may still end while the program leaves.
  static Counters& counters = *new Counters;
  return counters;
}

}  // namespace

namespace internal {

void CountStarted(CallSide side) noexcept {
  Get().sides[static_cast<std::size_t>(side)].started.fetch_add(1, std::memory_order_relaxed);
}
void CountEnded(CallSide side) noexcept {
  Get().sides[static_cast<std::size_t>(side)].ended.fetch_add(1, std::memory_order_relaxed);
}
void CountHeaderProblem(std::string_view code) noexcept { Get().header_problems.Add(code); }
void CountDroppedHeader(std::string_view reason) noexcept { Get().dropped_headers.Add(reason); }
void CountHookFailure() noexcept { Get().hook_failures.fetch_add(1, std::memory_order_relaxed); }

}  // namespace internal

InterceptorStats GetInterceptorStats() {
  const Counters& counters = Get();
  const auto& [client, server] = counters.sides;
  // Ended before started, so that a reader never sees more ends than starts.
  InterceptorStats stats;
  stats.client_ended = client.ended.load(std::memory_order_acquire);
  stats.client_started = client.started.load(std::memory_order_acquire);
  stats.server_ended = server.ended.load(std::memory_order_acquire);
  stats.server_started = server.started.load(std::memory_order_acquire);
  stats.header_problems = counters.header_problems.Read();
  stats.dropped_headers = counters.dropped_headers.Read();
  stats.hook_failures = counters.hook_failures.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace v0
}  // namespace weft
