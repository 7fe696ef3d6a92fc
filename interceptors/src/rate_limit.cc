// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/rate_limit.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/real_peer.h>

#include "registered_methods.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

using Nanoseconds = std::int64_t;

constexpr double kSecond = 1e9;
// Keeps sums of times far from overflow.
constexpr double kLongest = 3600 * 24 * 365 * kSecond;

Nanoseconds Now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Rate {
  Nanoseconds interval;  // between calls
  Nanoseconds ahead;     // how far calls may run ahead of that
};

Rate RateOf(const RateLimitOptions& options) noexcept {
  const double burst = options.burst >= 1 ? options.burst : std::max(options.per_second, 1.0);
  const double interval =
      options.per_second > 0 ? std::min(kSecond / options.per_second, kLongest) : kLongest;
  return {.interval = static_cast<Nanoseconds>(interval),
          .ahead = static_cast<Nanoseconds>(std::min(interval * burst, kLongest))};
}

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
std::string WithoutPort(std::string peer) {
  if (peer.starts_with("ipv4:") || peer.starts_with("ipv6:")) peer.resize(peer.rfind(':'));
  return peer;
}

class RateLimitMiddleware final : public Middleware {
 public:
  explicit RateLimitMiddleware(RateLimitOptions options)
      : options_(options), rate_(RateOf(options)), buckets_(options.max_keys) {}

  std::string_view name() const noexcept override { return "rate_limit"; }
  bool may_reject() const noexcept override { return true; }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    // Names that peers invent share one bucket: a new name is no way around the limit.
    const bool known = method.side == CallSide::kClient || internal::IsRegistered(method);
    return options_.key == RateLimitKey::kMethod && known ? std::make_shared<Bucket>() : shared_;
  }

  Verdict Admit(Call& call, const MetadataView& /*metadata*/) noexcept override {
    return Decide(call);
  }
  Verdict AdmitSending(Call& call, const MetadataWriter& /*metadata*/) noexcept override {
    return Decide(call);
  }

 private:
  Verdict Decide(const Call& call) noexcept try {
    if (!(options_.per_second > 0)) return Rejected(static_cast<Nanoseconds>(kSecond));
    const Nanoseconds wait = Take(call);
    return wait == 0 ? Verdict() : Rejected(wait);
  } catch (...) {
    internal::CountHookFailure();
    return Rejected(static_cast<Nanoseconds>(kSecond));
  }

  Nanoseconds Take(const Call& call) {
    switch (options_.key) {
      case RateLimitKey::kPeer:
        return TakeOfPeer(call);
      case RateLimitKey::kIdentity: {
        const Identity* const identity = IdentityOf(call.context());
        return identity == nullptr ? shared_->Take(rate_, Now())
                                   : buckets_.Take(identity->name, rate_, Now());
      }
      default:
        return call.method_state<Bucket>().Take(rate_, Now());
    }
  }

  Nanoseconds TakeOfPeer(const Call& call) {
    if (call.side() == CallSide::kClient) {
      return buckets_.Take(call.method().target, rate_, Now());
    }
    const std::string_view real = RealPeerOf(call.context());
    return real.empty() ? buckets_.Take(WithoutPort(call.peer()), rate_, Now())
                        : buckets_.Take(real, rate_, Now());
  }

  static Verdict Rejected(Nanoseconds wait) {
    const auto second = static_cast<Nanoseconds>(kSecond);
    const std::string seconds = std::to_string((wait + second - 1) / second);
    return {.status = grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                                   "too many calls; retry after " + seconds + " s"),
            .trailers = {{"retry-after", seconds}}};
  }

  RateLimitOptions options_;
  Rate rate_;
  std::shared_ptr<Bucket> shared_ = std::make_shared<Bucket>();
  Buckets buckets_;
};

}  // namespace

std::shared_ptr<Middleware> RateLimit(RateLimitOptions options) {
  return std::make_shared<RateLimitMiddleware>(options);
}

}  // namespace v0
}  // namespace weft
