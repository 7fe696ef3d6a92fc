// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/rate_limit.h>

#include <string>
#include <string_view>
#include <utility>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/real_peer.h>

#include "registered_methods.h"
#include "stats.h"
#include "token_buckets.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::Bucket;
using internal::Buckets;
using internal::kSecond;
using internal::Nanoseconds;
using internal::Rate;

class RateLimitMiddleware final : public Middleware {
 public:
  explicit RateLimitMiddleware(RateLimitOptions options)
      : options_(options),
        rate_(Rate::Of(options.per_second, options.burst)),
        buckets_(options.max_keys) {}

  std::string_view name() const noexcept override { return "rate_limit"; }
  HookSet hooks() const noexcept override { return HooksOf<RateLimitMiddleware>(); }
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
        return identity == nullptr ? shared_->Take(rate_, internal::SteadyNow())
                                   : buckets_.Take(identity->name, rate_, internal::SteadyNow());
      }
      default:
        return call.method_state<Bucket>().Take(rate_, internal::SteadyNow());
    }
  }

  Nanoseconds TakeOfPeer(const Call& call) {
    if (call.side() == CallSide::kClient) {
      return buckets_.Take(call.method().target, rate_, internal::SteadyNow());
    }
    const std::string_view real = RealPeerOf(call.context());
    return real.empty()
               ? buckets_.Take(internal::WithoutPort(call.peer()), rate_, internal::SteadyNow())
               : buckets_.Take(real, rate_, internal::SteadyNow());
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
