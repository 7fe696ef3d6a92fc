// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include <grpcpp/completion_queue.h>

#include <weft/async/fiber_operation.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Where the operations of one client call complete: the queue of the thread's CqScheduler, or
/// without one a queue of its own, in which the calling threads wait.
class CallQueue {
 public:
  class Operation {
   private:
    friend class CallQueue;
    FiberOperation fiber_;
    // Without a scheduler:
    bool completed_ = false;
    bool ok_ = false;
  };

  CallQueue();
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  grpc::CompletionQueue* get() noexcept { return own_ ? &*own_ : queue_; }
  void* Tag(Operation& operation) noexcept;
  /// Blocks the fiber or thread until the tag came out; the `ok` that came with it.
  bool Await(Operation& operation) noexcept;

 private:
  bool AwaitOnThread(Operation& operation) noexcept;

  grpc::CompletionQueue* const queue_;  // of the scheduler, or null
  std::optional<grpc::CompletionQueue> own_;
  std::mutex mutex_;
  std::condition_variable polled_;
  bool polling_ = false;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
