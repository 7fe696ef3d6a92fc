// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <grpcpp/completion_queue.h>

#include <weft/async/fiber_operation.h>

namespace weft {
inline namespace v0 {
namespace internal {
class CqAlgorithm;
}  // namespace internal

/// Makes the Boost fibers of a thread and a completion queue one event loop: when no fiber can run,
/// the thread waits in the queue, and what comes out wakes the fiber that waits for it.
///
///     std::jthread([&] {
///       weft::CqScheduler scheduler(queue.get());
///       std::vector<boost::fibers::fiber> calls;
///       for (int i = 0; i < 64; ++i) calls.emplace_back([&] { ServeCalls(scheduler.queue()); });
///       for (auto& call : calls) call.join();
///     });
///
/// Handlers read as if they blocked the thread, and block only their fiber. Timers of fibers, and
/// wakes from other threads (`promise::set_value`, channels, mutexes), end the wait in the queue.
///
/// Lifetime: made and destroyed on the thread whose fibers it runs, around all their work. The
///   destructor shuts the queue down and drains it; nobody else may do either. To end a server:
///   call `Server::Shutdown` on another thread; let each fiber whose request operation yields false
///   end without another request; join the fibers; destroy the scheduler once `Shutdown` has
///   returned (a `boost::fibers::promise` tells it), then the server.
/// Ownership: the queue stays the caller's, and outlives the scheduler.
/// Threads: the fibers stay on their thread. Other threads may start operations on the queue and
///   wake fibers as long as the scheduler lives; afterwards fibers of the thread still run, and
///   wait without the queue.
/// Tags: every tag of the queue is a `CompletionHandler::tag()`.
class CqScheduler final {
 public:
  /// Which fibers of the thread have a context.
  enum class Fibers : std::uint8_t {
    kPlain,       // those of `Spawn` and `Async`
    kInheriting,  // all; they keep their exceptions, too. See `Inheriting`.
  };

  explicit CqScheduler(grpc::CompletionQueue* queue, Fibers fibers = Fibers::kPlain);
  ~CqScheduler();

  CqScheduler(const CqScheduler&) = delete;
  CqScheduler& operator=(const CqScheduler&) = delete;

  grpc::CompletionQueue* queue() const noexcept { return queue_; }

  /// The scheduler of the calling thread, or null.
  static CqScheduler* Current() noexcept;

 private:
  grpc::CompletionQueue* const queue_;
  internal::CqAlgorithm* const algorithm_;  // shared with the scheduler of the thread
};

}  // namespace v0
}  // namespace weft
