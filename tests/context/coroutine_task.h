// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <condition_variable>
#include <coroutine>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <utility>

#include <weft/context/context_scope.h>
#include <weft/context/coroutine.h>

#include "counted_id.h"

namespace weft {
inline namespace v0 {
namespace testing {

// A coroutine that runs when it is awaited, or when it is started, and hands over to who awaits it.
// `Base` gives its promise Initially and Finally.
template <template <typename> class Base>
class BasicTask {
 public:
  struct promise_type : Base<promise_type> {
    struct HandOver : std::suspend_always {
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        return ended.promise().awaiting;
      }
    };
    BasicTask get_return_object() {
      return BasicTask(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    auto initial_suspend() noexcept { return this->Initially(std::suspend_always()); }
    auto final_suspend() noexcept { return this->Finally(HandOver()); }
    void return_value(int value) noexcept { result = value; }
    void unhandled_exception() noexcept { error = std::current_exception(); }

    std::coroutine_handle<> awaiting = std::noop_coroutine();
    std::exception_ptr error;
    int result = 0;
  };

  BasicTask(BasicTask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  BasicTask& operator=(BasicTask&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~BasicTask() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() const noexcept {
    struct Awaiter {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        task.promise().awaiting = awaiting;
        return task;
      }
      int await_resume() const {
        if (task.promise().error) std::rethrow_exception(task.promise().error);
        return task.promise().result;
      }
      std::coroutine_handle<promise_type> task;
    };
    return Awaiter{handle_};
  }

  void Resume() const { handle_.resume(); }
  bool done() const { return handle_.done(); }
  int result() const { return handle_.promise().result; }
  std::coroutine_handle<> handle() const { return handle_; }

 private:
  explicit BasicTask(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}

  std::coroutine_handle<promise_type> handle_;
};

// A promise that knows nothing of contexts.
template <typename>
struct PlainPromise {
  template <typename Awaiter>
  Awaiter Initially(Awaiter awaiter) noexcept {
    return awaiter;
  }
  template <typename Awaiter>
  Awaiter Finally(Awaiter awaiter) noexcept {
    return awaiter;
  }
};

using Task = BasicTask<CoroutineContext>;
using PlainTask = BasicTask<PlainPromise>;

// The store under test, and a thread_local variable in its place.
struct KeptStore {
  using Task = testing::Task;
  class Scope {
   public:
    explicit Scope(std::uint64_t id) : scope_(Derive(Context::Current(), id)) {}

   private:
    ContextScope scope_;
  };
  static std::uint64_t Current() { return CurrentId(); }
};

struct LeftStore {
  using Task = testing::PlainTask;
  class Scope {
   public:
    explicit Scope(std::uint64_t id) : previous_(std::exchange(Place(), id)) {}
    ~Scope() { Place() = previous_; }

   private:
    std::uint64_t previous_;
  };
  [[gnu::noinline]] static std::uint64_t Current() { return Place(); }

 private:
  [[gnu::noinline]] static std::uint64_t& Place() {
    asm volatile("");
    static thread_local std::uint64_t place = 0;
    return place;
  }
};

// Coroutines that are ready to go on, for whoever takes them.
class ReadyQueue {
 public:
  void Push(std::coroutine_handle<> ready) {
    std::lock_guard lock(mutex_);
    ready_.push_back(ready);
    changed_.notify_one();
  }
  // Waits; null once it is closed and empty.
  std::coroutine_handle<> Pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !ready_.empty(); });
    return Take();
  }
  // Null when none is ready now.
  std::coroutine_handle<> TryPop() {
    std::lock_guard lock(mutex_);
    return Take();
  }
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // Suspends, and goes on wherever the queue is served.
  auto Hop() noexcept {
    struct Awaiter : std::suspend_always {
      explicit Awaiter(ReadyQueue* own) : queue(own) {}
      void await_suspend(std::coroutine_handle<> coroutine) const { queue->Push(coroutine); }
      ReadyQueue* queue;
    };
    return Awaiter(this);
  }

 private:
  std::coroutine_handle<> Take() {
    if (ready_.empty()) return nullptr;
    const std::coroutine_handle<> ready = ready_.front();
    ready_.pop_front();
    return ready;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> ready_;
  bool closed_ = false;
};

// std::this_thread::get_id() may be kept by the compiler across a suspension.
inline long ThreadNumber() { return syscall(SYS_gettid); }

}  // namespace testing
}  // namespace v0
}  // namespace weft
