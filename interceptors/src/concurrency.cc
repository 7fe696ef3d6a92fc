// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/concurrency.h>

#include <atomic>
#include <list>
#include <mutex>
#include <utility>

namespace weft {
inline namespace v0 {
namespace {

struct CallConcurrency;

struct WaitingCall {
  std::shared_ptr<HeldCall> held;
  CallConcurrency* call;  // valid while it is in the list
};

struct CallConcurrency {
  bool counted = false;
  bool waiting = false;
  std::list<WaitingCall>::iterator place;  // where it is waiting
};

class ConcurrencyMiddleware final : public Middleware {
 public:
  explicit ConcurrencyMiddleware(ConcurrencyOptions options) noexcept : options_(options) {}

  std::string_view name() const noexcept override { return "concurrency"; }
  HookSet hooks() const noexcept override { return HooksOf<ConcurrencyMiddleware>(); }
  bool may_reject() const noexcept override { return true; }
  CallStateType call_state() const noexcept override {
    return CallStateType::Of<CallConcurrency>();
  }

  Verdict Admit(Call& call, const MetadataView& /*metadata*/) noexcept override {
    return Take(call.state<CallConcurrency>()) ? Verdict() : TooMany();
  }

  Verdict AdmitSending(Call& call, const MetadataWriter& /*metadata*/) noexcept override {
    CallConcurrency& state = call.state<CallConcurrency>();
    if (Take(state)) return {};
    if (!Waits()) return TooMany();
    const std::lock_guard lock(mutex_);
    // Whoever ended meanwhile saw nobody wait.
    if (Take(state)) return {};
    if (waiting_.size() >= options_.max_waiting) return TooMany();
    auto held = call.Hold(std::chrono::system_clock::now() + options_.max_wait, TooMany());
    state.place = waiting_.insert(waiting_.end(), {std::move(held), &state});
    state.waiting = true;
    return {};
  }

  void OnEnd(Call& call, const CallReport& /*report*/) noexcept override {
    CallConcurrency& state = call.state<CallConcurrency>();
    if (!Waits()) {
      if (state.counted) in_flight_.fetch_sub(1, std::memory_order_relaxed);
      return;
    }
    const std::lock_guard lock(mutex_);
    if (state.waiting) waiting_.erase(state.place);
    if (state.counted) PassOn();
  }

 private:
  static Verdict TooMany() {
    return {.status =
                grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls are in flight")};
  }

  bool Waits() const noexcept { return options_.max_wait.count() > 0; }

  bool Take(CallConcurrency& state) noexcept {
    std::size_t now = in_flight_.load(std::memory_order_relaxed);
    do {
      if (now >= options_.limit) return false;
    } while (!in_flight_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed));
    state.counted = true;
    return true;
  }

  // The next one takes the place of a call that has ended.
  void PassOn() {
    while (!waiting_.empty()) {
      const auto [held, next] = std::move(waiting_.front());
      waiting_.pop_front();
      next->waiting = false;
      if (held->Release()) {
        next->counted = true;
        return;
      }
    }
    in_flight_.fetch_sub(1, std::memory_order_relaxed);
  }

  const ConcurrencyOptions options_;
  std::atomic<std::size_t> in_flight_{0};
  std::mutex mutex_;  // guards what follows, and the states of calls that wait
  std::list<WaitingCall> waiting_;
};

}  // namespace

std::shared_ptr<Middleware> Concurrency(ConcurrencyOptions options) {
  return std::make_shared<ConcurrencyMiddleware>(options);
}

}  // namespace v0
}  // namespace weft
