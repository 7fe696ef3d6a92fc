// SPDX-License-Identifier: Apache-2.0
#include <weft/async/fiber_server.h>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <new>
#include <string>
#include <thread>

#include <grpc/grpc.h>
#include <grpcpp/alarm.h>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_operation.h>
#include <weft/async/internal/call_sentinel.h>
#include <weft/context/context_scope.h>

#include "server_shutdown.h"
#include "stack_pool.h"

namespace weft {
inline namespace v0 {
namespace internal {

// One queue and its thread. Everything happens on that thread.
class FiberLoop {
 public:
  FiberLoop(grpc::ServerCompletionQueue* queue, const std::vector<FiberMethod>& methods,
            const FiberServerOptions& options)
      : queue_(queue),
        methods_(methods),
        watch_cancellation_(options.watch_cancellation),
        most_running_(std::max(1, options.max_concurrent_calls / options.threads)),
        requested_(std::min(options.requested_calls, most_running_)),
        owed_(methods.size(), 0),
        spare_(methods.size()),
        stacks_(options.stack_bytes, kMostIdleStacks) {
    for (auto& spare : spare_) spare.reserve(kMostSpareCalls);
  }
  ~FiberLoop() {
    for (const auto& spare : spare_) {
      for (void* const memory : spare) ::operator delete(memory);
    }
  }
  FiberLoop(const FiberLoop&) = delete;
  FiberLoop& operator=(const FiberLoop&) = delete;

  // Returns when no call is left and ServerHasShutDown was called.
  void Run() {
    const CqScheduler scheduler(queue_, CqScheduler::Fibers::kInheriting);
    const RejectingThread rejecting;
    for (std::size_t method = 0; method < methods_.size(); ++method) {
      for (int i = 0; i < requested_; ++i) Request(method);
    }
    drained_.get_future().wait();
    for (Idle* idle : idle_) idle->wake.Complete(true);
    idle_.clear();
    shut_down_.Await();
  }

  // From another thread: holds this one up where it asks for no call.
  void StartHalt() { halt_.Start(queue_); }
  Halt& halt() noexcept { return halt_; }

  // gRPC will start no more calls. From another thread, and by an event of the queue: Boost wakes a
  // fiber of another thread in two steps, and the scheduler may be gone before the second.
  void ServerHasShutDown() { alarm_.Set(queue_, gpr_time_0(GPR_CLOCK_REALTIME), shut_down_.tag()); }

  // In the scheduler, outside any fiber.
  void Arrived(FiberCall* call, bool ok) noexcept {
    --waiting_;
    if (!ok) {  // the server shuts down
      Destroy(call);
      stopping_ = true;
      return CheckDrained();
    }
    if (watch_cancellation_) ++call->references_;
    if (FiberWatch* const watch = call->context_.watch.get()) call->Begin(*watch, queue_);
    ++owed_[call->method_];
    arrived_.push_back(call);
    Proceed();
  }

  // Mostly a reply has been written to the socket when the call that sends it returns. Its event
  // then need not go through the queue, where it would cost a pass: gRPC holds for a thread the
  // next event of a queue that the thread itself brings about. Until it is taken the fiber must not
  // wait.
  void HoldNextEvent() noexcept { grpc_completion_queue_thread_local_cache_init(queue_->cq()); }
  void TakeHeldEvent() noexcept {
    void* tag = nullptr;
    int succeeded = 0;
    if (grpc_completion_queue_thread_local_cache_flush(queue_->cq(), &tag, &succeeded) == 0) return;
    bool ok = succeeded != 0;
    if (static_cast<grpc::internal::CompletionQueueTag*>(tag)->FinalizeResult(&tag, &ok)) {
      static_cast<CompletionHandler*>(tag)->Complete(ok);
    }
  }

  // Keeps the memory for another call of the method: it is too large for the allocator's own lists.
  void Destroy(FiberCall* call) noexcept {
    void* const memory = dynamic_cast<void*>(call);
    auto& spare = spare_[call->method_];
    call->~FiberCall();
    if (spare.size() < kMostSpareCalls) return spare.push_back(memory);
    ::operator delete(memory);
  }

 private:
  static constexpr std::size_t kMostSpareCalls = 256;
  static constexpr std::size_t kMostIdleStacks = 256;
  static constexpr std::size_t kMostIdleFibers = 128;

  void* MemoryFor(std::size_t method) {
    auto& spare = spare_[method];
    if (spare.empty()) return ::operator new(methods_[method].bytes);
    void* const memory = spare.back();
    spare.pop_back();
    return memory;
  }

  void Request(std::size_t method) {
    FiberCall* const call = methods_[method].make(MemoryFor(method));
    call->loop_ = this;
    call->method_ = method;
    if (watch_cancellation_) {
      call->context_.AsyncNotifyWhenDone(call->closed_.tag());
      call->context_.notified = true;
    }
    ++waiting_;
    call->Request(queue_);
  }

  // Starts what has arrived, and asks for as many more, as far as the limit allows.
  void Proceed() noexcept {
    while (!arrived_.empty() && running_ < most_running_) {
      FiberCall* const call = arrived_.front();
      arrived_.pop_front();
      Start(call);
    }
    if (stopping_ || running_ >= most_running_) return;
    for (std::size_t method = 0; method < owed_.size(); ++method) {
      for (; owed_[method] > 0; --owed_[method]) Request(method);
    }
  }

  // A fiber that waits for a call. Starting one costs about as much as four switches.
  struct Idle {
    FiberCall* call = nullptr;  // null when woken: there will be none
    FiberOperation wake;
  };

  void Start(FiberCall* call) noexcept {
    ++running_;
    if (!idle_.empty()) {
      Idle* const idle = idle_.back();
      idle_.pop_back();
      idle->call = call;
      return idle->wake.Complete(true);
    }
    try {
      boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, PooledStack(&stacks_),
                           [this, call] { ServeCalls(call); })
          .detach();
    } catch (const std::exception&) {  // no memory for a stack
      call->context_.TryCancel();
      call->Release();
      --running_;
    }
  }

  void ServeCalls(FiberCall* call) noexcept {
    while (call != nullptr) {
      Serve(call);
      Idle idle;
      if (told_ || idle_.size() >= kMostIdleFibers) return;
      idle_.push_back(&idle);
      idle.wake.Await();
      call = idle.call;
    }
  }

  void Serve(FiberCall* call) noexcept {
    if (const Context* const context = FindCallContext(call->context_)) {
      call->intercepted_ = true;
      const ContextScope scope(*context);
      if (const grpc::Status* const rejected = context->Find(kRejectionKey)) {
        call->Reply(*rejected);
      } else {
        call->Run();
      }
    } else {
      call->Run();
    }
    ForgetUnwoundFrames();
    OnCallStack([&] {
      TakeHeldEvent();  // the scope is closed: the event may start another call
      call->Release();
      --running_;
      Proceed();
    });
    CheckDrained();
  }

  void CheckDrained() noexcept {
    if (!stopping_ || waiting_ > 0 || running_ > 0 || !arrived_.empty()) return;
    if (!std::exchange(told_, true)) drained_.set_value();
  }

  grpc::ServerCompletionQueue* const queue_;
  const std::vector<FiberMethod>& methods_;
  const bool watch_cancellation_;
  const int most_running_;
  const int requested_;
  int waiting_ = 0;  // calls that gRPC was asked for
  int running_ = 0;
  std::vector<int> owed_;                  // requests of each method that the limit held back
  std::vector<std::vector<void*>> spare_;  // memory for calls of each method
  std::deque<FiberCall*> arrived_;
  std::vector<Idle*> idle_;
  bool stopping_ = false;
  bool told_ = false;
  boost::fibers::promise<void> drained_;
  FiberOperation shut_down_;
  grpc::Alarm alarm_;
  Halt halt_;
  StackPool stacks_;
};

void FiberCall::Complete(bool ok) noexcept { loop_->Arrived(this, ok); }
void FiberCall::End() noexcept { loop_->Destroy(this); }
void FiberCall::HoldNextEvent() noexcept { loop_->HoldNextEvent(); }

}  // namespace internal

namespace {

absl::Status Check(const FiberServerOptions& options) {
  constexpr std::size_t kLeastStack = std::size_t{16} << 10;
  const auto too_small = [](const char* option, auto value, auto least) {
    return absl::InvalidArgumentError(std::string("FiberServerOptions::") + option + " is " +
                                      std::to_string(value) + ", must be at least " +
                                      std::to_string(least));
  };
  if (options.threads < 1) return too_small("threads", options.threads, 1);
  if (options.max_concurrent_calls < options.threads) {
    return too_small("max_concurrent_calls", options.max_concurrent_calls, options.threads);
  }
  if (options.requested_calls < 1) return too_small("requested_calls", options.requested_calls, 1);
  if (options.stack_bytes < kLeastStack) {
    return too_small("stack_bytes", options.stack_bytes, kLeastStack);
  }
  return absl::OkStatus();
}

}  // namespace

struct FiberServer::Threads {
  // Holds them up where none asks for a call. One that does not come there within a second is in a
  // handler, which may wait for what only the shutdown ends.
  void Halt() {
    for (const auto& loop : loops) loop->StartHalt();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    for (const auto& loop : loops) loop->halt().Await(until);
  }
  void Resume() {
    for (const auto& loop : loops) loop->halt().End();
  }

  std::vector<std::unique_ptr<internal::FiberLoop>> loops;
  std::vector<std::jthread> threads;
};

FiberServer::FiberServer(FiberServerOptions options) : options_(options) {}

FiberServer::~FiberServer() { Shutdown(std::chrono::system_clock::now()); }

absl::Status FiberServer::Start(grpc::ServerBuilder& builder) {
  if (auto status = Check(options_); !status.ok()) return status;
  if (server_ != nullptr) {
    return absl::FailedPreconditionError("the FiberServer was started before");
  }
  if (methods_.empty()) return absl::FailedPreconditionError("the FiberServer handles no method");
  for (int i = 0; i < options_.threads; ++i) queues_.push_back(builder.AddCompletionQueue());
  {
    const internal::RejectingThread rejecting;
    server_ = builder.BuildAndStart();
  }
  if (server_ == nullptr) {
    queues_.clear();
    return absl::UnavailableError("gRPC could not start the server; its log says why");
  }
  threads_ = std::make_unique<Threads>();
  for (const auto& queue : queues_) {
    auto& loop = threads_->loops.emplace_back(
        std::make_unique<internal::FiberLoop>(queue.get(), methods_, options_));
    threads_->threads.emplace_back([&loop = *loop] { loop.Run(); });
  }
  return absl::OkStatus();
}

void FiberServer::Shutdown(std::chrono::system_clock::time_point deadline) {
  if (threads_ == nullptr) return;
  for (const auto& thread : threads_->threads) {
    if (thread.get_id() != std::this_thread::get_id()) continue;
    std::fputs("weft: FiberServer::Shutdown was called by a handler, and would wait for it\n",
               stderr);
    std::abort();
  }
  threads_->Halt();
  internal::ServerShutdown shutdown(*server_);
  threads_->Resume();
  shutdown.Finish(deadline);
  for (const auto& loop : threads_->loops) loop->ServerHasShutDown();
  threads_->threads.clear();  // joins
  threads_.reset();
}

}  // namespace v0
}  // namespace weft
