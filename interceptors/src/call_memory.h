// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

namespace weft {
inline namespace v0 {
namespace internal {

/// The one allocation of a call. It goes when the call is gone and all values of contexts that lie
/// in it (see ContextRoom): a context may be kept for longer than its call.
class CallMemory {
 public:
  explicit CallMemory(void* start) noexcept : start_(start) {}
  CallMemory(const CallMemory&) = delete;
  CallMemory& operator=(const CallMemory&) = delete;

  /// It lies just before the states of the middlewares.
  static CallMemory& Before(std::byte* states) noexcept {
    return *std::launder(reinterpret_cast<CallMemory*>(states - sizeof(CallMemory)));
  }

  void Share() noexcept { users_.fetch_add(1, std::memory_order_relaxed); }
  void Release() noexcept {
    // Only the call makes users, and it is one.
    if (users_.load(std::memory_order_acquire) == 1 ||
        users_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      ::operator delete(start_);
    }
  }

 private:
  void* const start_;
  std::atomic<std::uint32_t> users_{1};
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
