// SPDX-License-Identifier: Apache-2.0
#include <weft/async/internal/queue_tag.h>

#include <array>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kBlockBytes = 1024;
constexpr std::size_t kMaxSharedBlocks = 512;

// Where tags lie, one after another as a thread makes them. It is used again as a whole, when all
// of them have come back, wherever that was. So a tag that changes threads costs a part of a cache
// line in each direction, and there is no list that links free ones through those lines. What an
// operation that takes long keeps from use is one block.
struct alignas(kBlockBytes) Block {
  static constexpr std::uint32_t kMemory = kBlockBytes - 16;

  std::atomic<std::uint32_t> out{kMemory};  // bytes that have not come back
  Block* next_free = nullptr;
  alignas(16) std::array<std::byte, kMemory> memory;

  static Block* Of(const void* tag) noexcept {
    return reinterpret_cast<Block*>(reinterpret_cast<std::uintptr_t>(tag) & ~(kBlockBytes - 1));
  }
};
static_assert(sizeof(Block) == kBlockBytes);

// Blocks that no thread holds.
class SharedBlocks {
 public:
  Block* Take() noexcept {
    const std::lock_guard lock(mutex_);
    if (first_ == nullptr) return nullptr;
    --count_;
    return std::exchange(first_, first_->next_free);
  }
  void Give(Block* block) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (count_ < kMaxSharedBlocks) {
        ++count_;
        block->next_free = std::exchange(first_, block);
        return;
      }
    }
    delete block;
  }

 private:
  std::mutex mutex_;
  Block* first_ = nullptr;
  std::size_t count_ = 0;
};

// Never destroyed: queues may be drained in static destructors.
SharedBlocks& Shared() {
  static auto* const shared = new SharedBlocks;
  return *shared;
}

// What came back to this thread and was not counted in the block yet.
struct Returned {
  Block* block = nullptr;
  std::uint32_t bytes = 0;
};

// Constant-initialised and trivially destroyed; FreeAtExit gives up what it holds.
struct LocalTags {
  std::byte* next = nullptr;  // of the block in use
  std::byte* end = nullptr;
  std::array<Returned, 8> returned;  // by the address of the block
  Block* spare = nullptr;
  int spares = 0;
  bool registered = false;  // with FreeAtExit
  bool ended = false;
};
constinit thread_local LocalTags local_tags;
constexpr int kMostSpares = 4;

[[gnu::noinline]] void Free(LocalTags& local, Block* block) noexcept {
  if (local.ended || local.spares == kMostSpares) return Shared().Give(block);
  ++local.spares;
  block->next_free = std::exchange(local.spare, block);
}

void Return(LocalTags& local, Block* block, std::uint32_t bytes) noexcept {
  // Who returns the last needs no atomic subtraction: nobody else returns any.
  if (block->out.load(std::memory_order_acquire) == bytes ||
      block->out.fetch_sub(bytes, std::memory_order_acq_rel) == bytes) {
    Free(local, block);
  }
}

void Count(LocalTags& local, Returned& returned) noexcept {
  if (returned.block != nullptr) Return(local, returned.block, returned.bytes);
  returned = {};
}

void ReturnRest(LocalTags& local) noexcept {
  const auto rest = static_cast<std::uint32_t>(local.end - local.next);
  if (rest != 0) Return(local, Block::Of(local.next), rest);
  local.next = local.end = nullptr;
}

struct FreeAtExit {
  FreeAtExit() = default;
  FreeAtExit(const FreeAtExit&) = delete;
  FreeAtExit& operator=(const FreeAtExit&) = delete;
  ~FreeAtExit() {
    LocalTags& local = local_tags;
    local.ended = true;
    for (Returned& returned : local.returned) Count(local, returned);
    ReturnRest(local);
    while (local.spare != nullptr) {
      Block* const block = local.spare;
      local.spare = block->next_free;
      Shared().Give(block);
    }
  }
};

void Register(LocalTags& local) noexcept {
  if (!std::exchange(local.registered, true)) static thread_local const FreeAtExit free_at_exit;
}

Block* TakeBlock(LocalTags& local) noexcept {
  if (local.spare != nullptr) {
    --local.spares;
    return std::exchange(local.spare, local.spare->next_free);
  }
  if (Block* const block = Shared().Take()) return block;
  // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): gRPC ends the process without memory, too.
  return new Block;
}

[[gnu::cold, gnu::noinline]] void* Refill(LocalTags& local, std::uint32_t bytes) noexcept {
  Register(local);
  ReturnRest(local);
  Block* const block = TakeBlock(local);
  if (local.ended) {  // nothing would return the rest
    block->out.store(bytes, std::memory_order_relaxed);
    return block->memory.data();
  }
  block->out.store(Block::kMemory, std::memory_order_relaxed);
  local.next = block->memory.data() + bytes;
  local.end = block->memory.data() + Block::kMemory;
  return block->memory.data();
}

[[gnu::noinline]] void GiveOfOtherBlock(LocalTags& local, Returned& returned, Block* block,
                                        std::uint32_t bytes) noexcept {
  Register(local);
  if (local.ended) return Return(local, block, bytes);
  Count(local, returned);
  returned = {block, bytes};
}

}  // namespace

// Neither is inlined nor suspends: see CurrentNode() on thread-locals and fibers.
[[gnu::noinline]] QueueTag* TakeQueueTag(std::size_t bytes) noexcept {
  asm volatile("");
  LocalTags& local = local_tags;
  const auto left = static_cast<std::size_t>(local.end - local.next);
  void* const memory = left >= bytes ? std::exchange(local.next, local.next + bytes)
                                     : Refill(local, static_cast<std::uint32_t>(bytes));
  return static_cast<QueueTag*>(memory);
}

[[gnu::noinline]] void GiveQueueTag(QueueTag* tag, std::size_t bytes) noexcept {
  asm volatile("");
  LocalTags& local = local_tags;
  Block* const block = Block::Of(tag);
  Returned& returned =
      local.returned[reinterpret_cast<std::uintptr_t>(block) / kBlockBytes % local.returned.size()];
  if (returned.block != block) {
    return GiveOfOtherBlock(local, returned, block, static_cast<std::uint32_t>(bytes));
  }
  returned.bytes += static_cast<std::uint32_t>(bytes);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
