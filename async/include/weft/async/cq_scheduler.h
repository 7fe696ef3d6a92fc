// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include <grpcpp/completion_queue.h>
#include <grpcpp/server.h>

#include <weft/async/fiber_operation.h>

namespace weft {
inline namespace v0 {
namespace internal {
class CqAlgorithm;
void RunOnCallStack(void (*step)(void*), void* argument);
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
///   call `ShutdownServer` in a fiber of the thread that asks for its calls; let each fiber whose
///   request operation yields false end without another request; join the fibers; destroy the
///   scheduler once the shutdown has returned, then the server. A scheduler that is destroyed
///   earlier waits for the shutdown, and what a call that arrives meanwhile does with the queue
///   ends the process. A server that is destroyed earlier leaves tags behind that refer to it.
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
  friend void internal::RunOnCallStack(void (*step)(void*), void* argument);

  grpc::CompletionQueue* const queue_;
  internal::CqAlgorithm* const algorithm_;  // shared with the scheduler of the thread
};

/// `server.Shutdown(deadline)` for a fiber: blocks it, but not its thread, on which the calls may
/// be that the server waits for.
///
/// Threads: any; outside fibers it blocks the thread. No other thread may ask for a call of the
///   server while it begins: gRPC 1.51 may lose a request that runs into a shutdown, and its
///   operation never ends. The same holds for `Server::Shutdown`. `FiberServer::Shutdown` sees to
///   it by itself.
void ShutdownServer(grpc::Server& server, std::chrono::system_clock::time_point deadline);

}  // namespace v0
}  // namespace weft
