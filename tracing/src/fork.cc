// SPDX-License-Identifier: Apache-2.0
#include "fork.h"

#include <pthread.h>

#include <atomic>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

std::atomic<std::uint32_t> generation{0};

void CountFork() { generation.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

ForkMark::ForkMark() noexcept {
  static const int kRegistered = pthread_atfork(nullptr, nullptr, CountFork);
  static_cast<void>(kRegistered);
  generation_ = generation.load(std::memory_order_relaxed);
}

bool ForkMark::IsInChild() const noexcept {
  return generation.load(std::memory_order_relaxed) != generation_;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
