// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

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

  grpc::CompletionQueue* get() noexcept { return queue_; }
  void* Tag(Operation& operation) noexcept;
  /// Blocks the fiber or thread until the tag came out; the `ok` that came with it.
  bool Await(Operation& operation) noexcept;

 private:
  struct Own {
    grpc::CompletionQueue queue;
    std::mutex mutex;
    std::condition_variable polled;
    bool polling = false;
  };

  bool AwaitOnThread(Operation& operation) noexcept;

  std::unique_ptr<Own> own_;      // null: the operations are those of fibers
  grpc::CompletionQueue* queue_;  // its own, or that of the scheduler
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
