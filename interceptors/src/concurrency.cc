// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/concurrency.h>

#include <atomic>

namespace weft {
inline namespace v0 {
namespace {

struct CallConcurrency {
  bool counted = false;
};

class ConcurrencyMiddleware final : public Middleware {
 public:
  explicit ConcurrencyMiddleware(ConcurrencyOptions options) noexcept : options_(options) {}

  std::string_view name() const noexcept override { return "concurrency"; }
  bool may_reject() const noexcept override { return true; }
  CallStateType call_state() const noexcept override {
    return CallStateType::Of<CallConcurrency>();
  }

  Verdict Admit(Call& call, const MetadataView& /*metadata*/) noexcept override {
    if (in_flight_.fetch_add(1, std::memory_order_relaxed) < options_.limit) {
      call.state<CallConcurrency>().counted = true;
      return {};
    }
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
    return {.status =
                grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls are in flight")};
  }

  void OnEnd(Call& call, const CallReport& /*report*/) noexcept override {
    if (call.state<CallConcurrency>().counted) in_flight_.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  ConcurrencyOptions options_;
  std::atomic<std::size_t> in_flight_{0};
};

}  // namespace

std::shared_ptr<Middleware> Concurrency(ConcurrencyOptions options) {
  return std::make_shared<ConcurrencyMiddleware>(options);
}

}  // namespace v0
}  // namespace weft
