// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weft {
inline namespace v0 {
namespace internal {

using Nanoseconds = std::int64_t;

inline constexpr double kSecond = 1e9;

inline Nanoseconds SteadyNow() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Rate {
  /// `burst` below 1: as much as a second gives, and at least 1.
  static Rate Of(double per_second, double burst) noexcept {
    // Keeps sums of times far from overflow.
    constexpr double kLongest = 3600 * 24 * 365 * kSecond;
    if (!(burst >= 1)) burst = std::max(per_second, 1.0);
    const double interval = per_second > 0 ? std::min(kSecond / per_second, kLongest) : kLongest;
    return {.interval = static_cast<Nanoseconds>(interval),
            .ahead = static_cast<Nanoseconds>(std::min(interval * burst, kLongest))};
  }

  Nanoseconds interval;  // between calls
  Nanoseconds ahead;     // how far calls may run ahead of that
};

/// A token bucket in one number: when it will be full again.
class Bucket {
 public:
  /// 0: taken. Else how long until there is a token.
  Nanoseconds Take(const Rate& rate, Nanoseconds now) noexcept {
    Nanoseconds full = full_.load(std::memory_order_relaxed);
    for (;;) {
      const Nanoseconds next = std::max(full, now) + rate.interval;
      if (next - now > rate.ahead) return next - now - rate.ahead;
      if (full_.compare_exchange_weak(full, next, std::memory_order_relaxed)) return 0;
    }
  }

 private:
  std::atomic<Nanoseconds> full_{0};
};

/// A bucket for each of the keys used last.
class Buckets {
 public:
  explicit Buckets(std::size_t most) : most_(std::max<std::size_t>(most, 1)) {}

  Nanoseconds Take(std::string_view key, const Rate& rate, Nanoseconds now) {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      used_.splice(used_.begin(), used_, found->second);
      return used_.front().bucket.Take(rate, now);
    }
    if (used_.size() >= most_) {
      by_key_.erase(used_.back().key);
      used_.pop_back();
    }
    used_.emplace_front(key);
    by_key_.emplace(used_.front().key, used_.begin());
    return used_.front().bucket.Take(rate, now);
  }

 private:
  struct Entry {
    explicit Entry(std::string_view name) : key(name) {}
    const std::string key;
    Bucket bucket;
  };

  std::size_t most_;
  std::mutex mutex_;
  std::list<Entry> used_;                                                    // the last one first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;  // views of the keys
};

/// `ipv4:127.0.0.1:1234` and `ipv6:[::1]:1234` without the port; the rest as it is.
inline std::string WithoutPort(std::string peer) {
  if (peer.starts_with("ipv4:") || peer.starts_with("ipv6:")) peer.resize(peer.rfind(':'));
  return peer;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
