// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/server.h>

#include <weft/async/fiber_operation.h>

namespace weft {
inline namespace v0 {
namespace internal {

// The shutdown of a server in two steps.
//
// Whoever asks gRPC for a call looks whether the server shuts down, and then puts the request into
// a list. If the thread is stopped between the two while another one shuts the server down from the
// beginning to the end, the request comes to a list that nobody empties any more: its tag never
// comes out of the queue. gRPC asks by itself, too, in the place of a call whose request it could
// not parse, while it polls. So a shutdown begins while no thread is in gRPC; later requests are
// refused.
class ServerShutdown {
 public:
  // Begins it, and does not wait for calls.
  explicit ServerShutdown(grpc::Server& server) : server_(server) {
    grpc_server_shutdown_and_notify(server_.c_server(), begun_, /*tag=*/nullptr);
  }
  ~ServerShutdown() { grpc_completion_queue_destroy(begun_); }
  ServerShutdown(const ServerShutdown&) = delete;
  ServerShutdown& operator=(const ServerShutdown&) = delete;

  // Must follow, on any thread: Server::Shutdown.
  void Finish(std::chrono::system_clock::time_point deadline) {
    server_.Shutdown(deadline);
    grpc_completion_queue_shutdown(begun_);
    const gpr_timespec never = gpr_inf_future(GPR_CLOCK_REALTIME);
    while (grpc_completion_queue_next(begun_, never, nullptr).type != GRPC_QUEUE_SHUTDOWN) {
    }
  }

 private:
  grpc::Server& server_;
  grpc_completion_queue* const begun_ = grpc_completion_queue_create_for_next(nullptr);
};

// Holds up the thread that polls a queue, between two events.
class Halt final : public CompletionHandler {
 public:
  void Start(grpc::CompletionQueue* queue) {
    alarm_.Set(queue, gpr_time_0(GPR_CLOCK_REALTIME), tag());
  }
  // Returns at `until` at the latest.
  void Await(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, until, [this] { return halted_; });
  }
  // Lets the thread go on, and pass should it come later.
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  void Complete(bool /*ok*/) noexcept override {
    std::unique_lock lock(mutex_);
    halted_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return ended_; });
  }

 private:
  grpc::Alarm alarm_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool halted_ = false;
  bool ended_ = false;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
