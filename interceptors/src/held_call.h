// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <grpcpp/alarm.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What Call::Hold returns. Whoever decides first decides: the holder, the clock or a cancellation.
class Hold final : public HeldCall, public std::enable_shared_from_this<Hold> {
 public:
  /// `late` is the outcome when nobody decides before `until`; absent: the call gives up.
  Hold(std::chrono::system_clock::time_point until, std::optional<Verdict> late)
      : until_(until), late_(std::move(late)) {}

  bool Release() noexcept override { return Decide(Decision::kReleased); }
  void Cancel() noexcept { Decide(Decision::kCancelled); }

  /// Calls `resume` on one of gRPC's threads once it is decided. False: it was decided before.
  /// The call keeps the hold until then.
  bool Wait(std::function<void()> resume);

  /// Once it is decided: whether the call goes on. Absent: it ends by itself.
  std::optional<Verdict> TakeOutcome() noexcept;

 private:
  enum class Decision : std::uint8_t { kNone, kReleased, kLate, kCancelled };

  bool Decide(Decision decision) noexcept;

  const std::chrono::system_clock::time_point until_;
  std::optional<Verdict> late_;
  std::mutex mutex_;
  Decision decision_ = Decision::kNone;
  grpc::Alarm alarm_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
