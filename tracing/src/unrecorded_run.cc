// SPDX-License-Identifier: Apache-2.0
#include "unrecorded_run.h"

#include <cstddef>
#include <new>
#include <utility>

#include "start_run.h"
#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kMostBlocks = 0;  // So that who comes too late is seen.
#else
constexpr std::size_t kMostBlocks = 32;
#endif

/// Blocks of memory, all of one size, that a thread is about to use again. Constant-initialised and
/// trivially destroyed: usable from before main to the last destructor of a thread.
struct FreeBlocks {
  struct Block {
    Block* next;
  };

  Block* first = nullptr;
  std::size_t size = 0;
  bool is_watched = false;  // By a Cleaner.
  bool is_closed = false;   // The thread ends.
};
constinit thread_local FreeBlocks free_blocks;

struct Cleaner {
  ~Cleaner() {
    free_blocks.is_closed = true;
    while (free_blocks.first != nullptr) {
      ::operator delete(std::exchange(free_blocks.first, free_blocks.first->next));
    }
  }
};

// Neither is inlined: a fiber may have moved to another thread since its last call, and a compiler
// may keep the address of a thread-local variable across the switch.

[[gnu::noinline]] void* TakeBlock(std::size_t size) {
  FreeBlocks& blocks = free_blocks;
  if (blocks.first == nullptr) return ::operator new(size);
  --blocks.size;
  return std::exchange(blocks.first, blocks.first->next);
}

[[gnu::noinline]] void GiveBlock(void* memory) noexcept {
  FreeBlocks& blocks = free_blocks;
  if (blocks.size >= kMostBlocks || blocks.is_closed) return ::operator delete(memory);
  if (!blocks.is_watched) {
    thread_local const Cleaner kCleaner;
    static_cast<void>(&kCleaner);
    blocks.is_watched = true;
  }
  blocks.first = new (memory) FreeBlocks::Block{blocks.first};
  ++blocks.size;
}

/// For std::allocate_shared, which asks for blocks of one type only: all are of one size.
template <typename T>
struct RecyclingAllocator {
  using value_type = T;

  RecyclingAllocator() noexcept = default;
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): allocators convert.
  RecyclingAllocator(const RecyclingAllocator<U>&) noexcept {}

  T* allocate(std::size_t) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    return static_cast<T*>(TakeBlock(sizeof(T)));
  }
  void deallocate(T* block, std::size_t) noexcept { GiveBlock(block); }

  template <typename U>
  bool operator==(const RecyclingAllocator<U>&) const noexcept {
    return true;
  }
};

}  // namespace

std::shared_ptr<UnrecordedRun> UnrecordedRun::Make(TracerRef&& tracer, const AmbientPtr* ambient,
                                                   std::chrono::system_clock::time_point start,
                                                   const RunId& id, const RootLot* lot) {
  return std::allocate_shared<UnrecordedRun>(RecyclingAllocator<UnrecordedRun>(), std::move(tracer),
                                             ambient, start, id, lot);
}

std::shared_ptr<UnrecordedRun> UnrecordedRun::Make(TracerRef&& tracer, const AmbientPtr* ambient,
                                                   std::chrono::system_clock::time_point start,
                                                   const RunId& id, const RootLot* lot,
                                                   Origin origin) {
  auto run = Make(std::move(tracer), ambient, start, id, lot);
  if (origin.baggage.own) run->origin_ = std::make_unique<const Origin>(std::move(origin));
  return run;
}

const std::shared_ptr<const TraceBaggage>& UnrecordedRun::inherited() const noexcept {
  return origin_ && origin_->baggage.inherited ? origin_->baggage.inherited
                                               : context().shared_baggage();
}

void UnrecordedRun::Identify() const noexcept {
  std::call_once(identified_, [this] {
    const Tracer::Impl& impl = tracer()->impl();
    const RunId id = id_.IsNil() ? impl.NewIdOutside(lot_, start_) : id_;
    const RunContext parent = origin_ ? origin_->parent : RunContext();
    // Without a parent this is the context of a root.
    SetContext(
        parent.Child(id, start_, origin_ ? origin_->baggage.own : RootBaggage(impl, ambient()))
            .WithSampled(false));
  });
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
