// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include <weft/context/context.h>

namespace weft {
inline namespace v0 {
namespace testing {

// A value that knows how many of its kind are alive.
class CountedId {
 public:
  explicit CountedId(std::uint64_t id) noexcept : id_(id) { ++live_; }
  CountedId(CountedId&& other) noexcept : id_(other.id_) { ++live_; }
  CountedId& operator=(CountedId&&) = delete;
  ~CountedId() { --live_; }

  std::uint64_t id() const noexcept { return id_; }
  static std::int64_t live() noexcept { return live_; }

 private:
  static inline std::atomic<std::int64_t> live_{0};
  std::uint64_t id_;
};

inline constexpr ContextKey<CountedId> kIdKey{ContextSlot::kRun};

inline Context Derive(const Context& parent, std::uint64_t id) noexcept {
  return parent.With(kIdKey, CountedId(id));
}
inline Context Make(std::uint64_t id) noexcept { return Derive(Context(), id); }

// The id in the current context, 0 at the root.
inline std::uint64_t CurrentId() noexcept {
  const CountedId* const found = Context::View().Find(kIdKey);
  return found != nullptr ? found->id() : 0;
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
