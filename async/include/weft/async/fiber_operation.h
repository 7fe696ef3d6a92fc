// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <boost/fiber/waker.hpp>

namespace weft {
inline namespace v0 {

/// What a tag of a queue that `CqScheduler` polls points to.
///
/// Threads: Complete runs on the thread that polls, outside any fiber of the user: it must not
/// wait.
class CompletionHandler {
 public:
  virtual void Complete(bool ok) noexcept = 0;

  /// The tag to hand to gRPC; completes this handler.
  void* tag() noexcept { return this; }

 protected:
  CompletionHandler() = default;
  CompletionHandler(const CompletionHandler&) = delete;
  CompletionHandler& operator=(const CompletionHandler&) = delete;
  ~CompletionHandler() = default;
};

/// One asynchronous operation that a fiber waits for.
///
///     weft::FiberOperation finish;
///     call->Finish(&response, &status, finish.tag());
///     finish.Await();  // other fibers of the thread run meanwhile
///
/// Lifetime: until Await has returned; a local variable of the waiting fiber will do. May be used
///   again then.
/// Threads: one operation and one waiter at a time; the queue may be polled on any thread.
class FiberOperation final : public CompletionHandler {
 public:
  /// Blocks the calling fiber until the tag came out of the queue; the `ok` that came with it.
  bool Await() noexcept;

  void Complete(bool ok) noexcept override;

 private:
  enum class State : std::uint8_t { kStarted, kAwaited, kSucceeded, kFailed };

  boost::fibers::waker waiter_;
  std::atomic<State> state_{State::kStarted};
};

}  // namespace v0
}  // namespace weft
