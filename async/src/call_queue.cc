// SPDX-License-Identifier: Apache-2.0
#include <weft/async/internal/call_queue.h>

#include <utility>

#include <weft/async/cq_scheduler.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

grpc::CompletionQueue* SchedulersQueue() noexcept {
  const CqScheduler* const scheduler = CqScheduler::Current();
  return scheduler != nullptr ? scheduler->queue() : nullptr;
}

}  // namespace

CallQueue::CallQueue() : queue_(SchedulersQueue()) {
  if (queue_ != nullptr) return;
  own_ = std::make_unique<Own>();
  queue_ = &own_->queue;
}

CallQueue::~CallQueue() {
  if (!own_) return;
  queue_->Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
  }
}

void* CallQueue::Tag(Operation& operation) noexcept {
  return own_ ? static_cast<void*>(&operation) : operation.fiber_.tag();
}

bool CallQueue::Await(Operation& operation) noexcept {
  return own_ ? AwaitOnThread(operation) : operation.fiber_.Await();
}

// A stream may have a thread that reads and one that writes. One of them polls, for both.
bool CallQueue::AwaitOnThread(Operation& operation) noexcept {
  std::unique_lock lock(own_->mutex);
  while (!std::exchange(operation.completed_, false)) {
    if (own_->polling) {
      own_->polled.wait(lock);
      continue;
    }
    own_->polling = true;
    lock.unlock();
    void* tag = nullptr;
    bool ok = false;
    queue_->Next(&tag, &ok);
    lock.lock();
    own_->polling = false;
    static_cast<Operation*>(tag)->ok_ = ok;
    static_cast<Operation*>(tag)->completed_ = true;
    own_->polled.notify_all();
  }
  return operation.ok_;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
