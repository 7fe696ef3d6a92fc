// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/fault_injection.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

namespace weft {
inline namespace v0 {
namespace {

using SystemClock = std::chrono::system_clock;

struct CallFaults {
  bool drop_reply = false;
};

bool Allowed() noexcept {
#ifdef WEFT_FAULT_INJECTION
  return true;
#else
  const char* const value = std::getenv("WEFT_ALLOW_FAULTS");
  return value != nullptr && std::string_view(value) == "1";
#endif
}

/// In [0, 100); SplitMix64 of what is to be told apart.
double Draw(std::uint64_t seed, std::uint64_t fault, std::uint64_t call) noexcept {
  std::uint64_t z = seed + (fault << 48) + (call + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53 * 100;
}

class FaultMiddleware final : public Middleware {
 public:
  explicit FaultMiddleware(FaultOptions options)
      : seed_(options.seed), faults_(std::move(options.faults)), met_(faults_.size()) {}

  std::string_view name() const noexcept override { return "fault_injection"; }
  HookSet hooks() const noexcept override { return HooksOf<FaultMiddleware>(); }
  bool may_reject() const noexcept override { return true; }
  CallStateType call_state() const noexcept override { return CallStateType::Of<CallFaults>(); }

  Verdict Admit(Call& call, const MetadataView& metadata) noexcept override {
    const Fault* const fault = Choose(call, metadata);
    if (fault == nullptr) return {};
    if (fault->delay.count() > 0) std::this_thread::sleep_until(EndOfDelay(call, *fault));
    if (call.deadline() && SystemClock::now() >= *call.deadline()) {
      return {.status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                     "the deadline passed during a delay (injected fault)")};
    }
    return {.status = fault->abort};
  }

  Verdict AdmitSending(Call& call, const MetadataWriter& metadata) noexcept override {
    const Fault* const fault = Choose(call, metadata);
    if (fault == nullptr) return {};
    Verdict verdict{.status = fault->abort};
    if (fault->delay.count() <= 0) return verdict;
    call.Hold(EndOfDelay(call, *fault), std::move(verdict));
    return {};
  }

  void OnStatus(Call& call, grpc::Status& status) noexcept override {
    if (!call.state<CallFaults>().drop_reply) return;
    status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the reply was lost (injected fault)");
  }

 private:
  // Nobody waits for longer than the call's deadline.
  static SystemClock::time_point EndOfDelay(const Call& call, const Fault& fault) {
    constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365);
    const auto end = SystemClock::now() + std::min(fault.delay, kLongest);
    return std::min(end, call.deadline().value_or(end));
  }

  template <typename Metadata>
  const Fault* Choose(Call& call, const Metadata& metadata) noexcept {
    for (std::size_t i = 0; i < faults_.size(); ++i) {
      const Fault& fault = faults_[i];
      if (!fault.methods.Selects(call.method().full_method)) continue;
      if (!fault.header.empty()) {
        const std::optional<std::string_view> value = metadata.Get(fault.header);
        if (!value || (!fault.value.empty() && *value != fault.value)) continue;
      }
      const std::uint64_t call_index = met_[i].fetch_add(1, std::memory_order_relaxed);
      if (Draw(seed_, i, call_index) >= fault.percent) continue;
      call.state<CallFaults>().drop_reply = fault.drop_reply;
      return &fault;
    }
    return nullptr;
  }

  const std::uint64_t seed_;
  const std::vector<Fault> faults_;
  std::vector<std::atomic<std::uint64_t>> met_;  // how many calls each might have taken
};

}  // namespace

absl::StatusOr<std::shared_ptr<Middleware>> FaultInjection(FaultOptions options) {
  if (!Allowed()) {
    return absl::FailedPreconditionError(
        "faults are injected only where the environment has WEFT_ALLOW_FAULTS=1, or where weft was "
        "built with WEFT_FAULT_INJECTION");
  }
  for (std::size_t i = 0; i < options.faults.size(); ++i) {
    const Fault& fault = options.faults[i];
    const std::string name = "faults[" + std::to_string(i) + "]";
    if (!(fault.percent >= 0 && fault.percent <= 100)) {
      return absl::InvalidArgumentError(name + ".percent is " + std::to_string(fault.percent) +
                                        ", not in 0 to 100");
    }
    if (fault.delay.count() < 0) {
      return absl::InvalidArgumentError(name + ".delay is " + std::to_string(fault.delay.count()) +
                                        " ns, less than nothing");
    }
    if (fault.header.empty() && !fault.value.empty()) {
      return absl::InvalidArgumentError(name + ".value is '" + fault.value + "' without a header");
    }
  }
  return std::make_shared<FaultMiddleware>(std::move(options));
}

}  // namespace v0
}  // namespace weft
