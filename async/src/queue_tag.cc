// SPDX-License-Identifier: Apache-2.0
#include <weft/async/internal/queue_tag.h>

#include <mutex>
#include <utility>
#include <vector>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr int kBatch = 32;
constexpr std::size_t kMaxSharedBatches = 256;  // half a megabyte

void Delete(QueueTag* tag) noexcept {
  while (tag != nullptr) delete std::exchange(tag, tag->next_free);
}

// Lists of kBatch tags that no thread holds.
class SharedBatches {
 public:
  SharedBatches() { batches_.reserve(kMaxSharedBatches); }

  QueueTag* Take() noexcept {
    const std::lock_guard lock(mutex_);
    if (batches_.empty()) return nullptr;
    QueueTag* const batch = batches_.back();
    batches_.pop_back();
    return batch;
  }
  void Give(QueueTag* batch) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (batches_.size() < kMaxSharedBatches) return batches_.push_back(batch);
    }
    Delete(batch);
  }

 private:
  std::mutex mutex_;
  std::vector<QueueTag*> batches_;
};

// Never destroyed: queues may be drained in static destructors.
SharedBatches& Shared() {
  static auto* const shared = new SharedBatches;
  return *shared;
}

// Two lists, so that a thread which takes and gives in turn does not go to the shared ones each
// time. Constant-initialised and trivially destroyed; a thread's tags are freed by FreeAtExit.
struct LocalTags {
  QueueTag* front = nullptr;
  int count = 0;             // in `front`
  QueueTag* full = nullptr;  // a batch, or null
  bool registered = false;   // with FreeAtExit
  bool ended = false;
};
constinit thread_local LocalTags local_tags;

struct FreeAtExit {
  FreeAtExit() = default;
  FreeAtExit(const FreeAtExit&) = delete;
  FreeAtExit& operator=(const FreeAtExit&) = delete;
  ~FreeAtExit() {
    Delete(std::exchange(local_tags.front, nullptr));
    Delete(std::exchange(local_tags.full, nullptr));
    local_tags.ended = true;
  }
};

[[gnu::cold, gnu::noinline]] QueueTag* Refill(LocalTags& local) noexcept {
  QueueTag* batch = std::exchange(local.full, nullptr);
  if (batch == nullptr) batch = Shared().Take();
  // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): gRPC ends the process without memory, too.
  if (batch == nullptr) return new QueueTag;
  local.count = kBatch - 1;
  local.front = batch->next_free;
  return batch;
}

[[gnu::cold, gnu::noinline]] void Spill(LocalTags& local, QueueTag* tag) noexcept {
  if (local.ended) {
    delete tag;
    return;
  }
  if (!std::exchange(local.registered, true)) static thread_local const FreeAtExit free_at_exit;
  if (local.count == kBatch) {
    if (local.full != nullptr) Shared().Give(local.full);
    local.full = std::exchange(local.front, nullptr);
    local.count = 0;
  }
  tag->next_free = std::exchange(local.front, tag);
  ++local.count;
}

}  // namespace

// Neither is inlined nor suspends: see CurrentNode() on thread-locals and fibers.
[[gnu::noinline]] QueueTag* TakeQueueTag() noexcept {
  asm volatile("");
  LocalTags& local = local_tags;
  QueueTag* const tag = local.front;
  if (tag == nullptr) return Refill(local);
  local.front = tag->next_free;
  --local.count;
  return tag;
}

[[gnu::noinline]] void GiveQueueTag(QueueTag* tag) noexcept {
  asm volatile("");
  LocalTags& local = local_tags;
  if (local.count == kBatch || !local.registered || local.ended) return Spill(local, tag);
  tag->next_free = std::exchange(local.front, tag);
  ++local.count;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
