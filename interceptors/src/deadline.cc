// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/deadline.h>

#include <algorithm>

#include "call_data.h"
#include "context_room.h"

namespace weft {
inline namespace v0 {
namespace {

using SystemClock = std::chrono::system_clock;

constexpr ContextKey<SystemClock::time_point> kDeadlineKey;
using DeadlineRoom = internal::ContextRoom<SystemClock::time_point>;

class DeadlineMiddleware final : public Middleware {
 public:
  explicit DeadlineMiddleware(DeadlineOptions options) noexcept : options_(options) {}

  std::string_view name() const noexcept override { return "deadline"; }
  HookSet hooks() const noexcept override { return HooksOf<DeadlineMiddleware>(); }
  bool may_reject() const noexcept override { return true; }
  CallStateType call_state() const noexcept override { return DeadlineRoom::State(); }

  Verdict Admit(Call& call, const MetadataView& /*metadata*/) noexcept override {
    const auto deadline = call.deadline();
    if (!deadline) return {};
    if (*deadline - SystemClock::now() <= options_.least) {
      return {.status = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                     "too little time was left when the call arrived")};
    }
    DeadlineRoom::Fill(call, kDeadlineKey, *deadline);
    return {};
  }

 private:
  DeadlineOptions options_;
};

}  // namespace

std::shared_ptr<Middleware> Deadline(DeadlineOptions options) {
  return std::make_shared<DeadlineMiddleware>(options);
}

std::optional<SystemClock::time_point> CurrentDeadline() noexcept {
  const SystemClock::time_point* const deadline = Context::View().Find(kDeadlineKey);
  return deadline == nullptr ? std::nullopt : std::optional(*deadline);
}

void SetDeadline(grpc::ClientContext& context, ClientDeadlineOptions options) noexcept {
  std::optional<SystemClock::time_point> earliest = internal::ToDeadline(context.raw_deadline());
  const auto consider = [&](SystemClock::time_point time) {
    earliest = earliest ? std::min(*earliest, time) : time;
  };
  if (options.timeout) {
    constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 365);
    consider(SystemClock::now() + std::min(*options.timeout, kLongest));
  }
  if (const auto ambient = CurrentDeadline()) {
    consider(*ambient - options.margin);
  }
  if (earliest) context.set_deadline(*earliest);
}

}  // namespace v0
}  // namespace weft
