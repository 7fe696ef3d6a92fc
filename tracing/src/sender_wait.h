// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Where the exporter's thread waits: for gRPC, or, as long as gRPC has nothing to do for it,
/// outside of gRPC. A thread that waits in a completion queue takes its part in the I/O of the
/// whole process, and hands what it finds to the threads that it belongs to: a service with a busy
/// exporter beside it spends a tenth of its time on that.
///
/// Threads: Wake may be called by any, the rest by the one that waits.
class SenderWait {
 public:
  using Clock = std::chrono::steady_clock;

  SenderWait() = default;
  /// Takes out what is left.
  ~SenderWait();
  SenderWait(const SenderWait&) = delete;
  SenderWait& operator=(const SenderWait&) = delete;

  grpc::CompletionQueue* completions() noexcept { return &completions_; }

  /// Ends a wait, or the next one. Not again before a wait has said that it was woken.
  void Wake();

  struct Event {
    enum class Kind { kNone, kWoken, kCompletion };
    Kind kind = Kind::kNone;
    std::intptr_t tag = 0;  ///< Of a completion, and whether it went well.
    bool ok = false;
  };

  /// The next event of gRPC, or Wake.
  Event Poll(Clock::duration longest);
  /// The next event that is there already, else Wake.
  Event Rest(Clock::duration longest);

 private:
  static constexpr std::intptr_t kWakeTag = 0;

  grpc::CompletionQueue completions_;
  grpc::Alarm alarm_;
  std::mutex mutex_;
  std::condition_variable bell_;
  bool resting_ = false;
  bool rung_ = false;   // While resting.
  bool armed_ = false;  // The alarm's tag is on its way.
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
