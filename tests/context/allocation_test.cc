// SPDX-License-Identifier: Apache-2.0
// What allocates and what does not; bench/context_benchmark.cc has the times.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/context/context_executor.h>
#include <weft/context/inheriting.h>
#include <weft/context/spawn.h>

#include "counted_id.h"
#include "heap_bytes.h"

namespace {

constinit std::atomic<long> allocations{0};

void* CountedNew(std::size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes);
}
void* CountedNew(std::size_t bytes, std::align_val_t alignment) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  const auto align = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(align, (bytes + align - 1) / align * align);
}
void* OrThrow(void* memory) { return memory != nullptr ? memory : throw std::bad_alloc(); }

}  // namespace

void* operator new(std::size_t bytes) { return OrThrow(CountedNew(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t align) {
  return OrThrow(CountedNew(bytes, align));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return CountedNew(bytes); }
void* operator new(std::size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  return CountedNew(bytes, align);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace weft {
namespace {

namespace fibers = boost::fibers;
using testing::CurrentId;
using testing::HeapBytes;
using testing::Make;

template <typename Body>
long AllocationsOf(Body body) {
  const long before = allocations;
  body();
  return allocations - before;
}

// On a thread, and in a fiber that has looked at its context before.
template <typename Body>
long AllocationsInAFiberOf(Body body) {
  long counted = -1;
  Spawn([&] {
    const ContextScope scope(Make(1));
    counted = AllocationsOf(body);
  }).join();
  return counted;
}

void Read() { static_cast<void>(CurrentId()); }
void CopyAndScope() {
  const Context context = Context::Current();
  const ContextScope scope(context);
  Read();
}
void BindAndCall() {
  Bind([] { Read(); })();
}

TEST(AllocationTest, TheCounterCounts) {
  int* made = nullptr;
  EXPECT_EQ(AllocationsOf([&] { made = new int(1); }), 1);
  delete made;
}

TEST(AllocationTest, ReadsScopesAndBoundCallsTakeNone) {
  const ContextScope scope(Make(1));
  for (const auto body : {Read, CopyAndScope, BindAndCall}) {
    EXPECT_EQ(AllocationsOf(body), 0);
    EXPECT_EQ(AllocationsInAFiberOf(body), 0);
  }
}

TEST(AllocationTest, AReadInAFiberWithoutAContextTakesNone) {
  long counted = -1;
  fibers::fiber([&] { counted = AllocationsOf(Read); }).join();
  EXPECT_EQ(counted, 0);
}

TEST(AllocationTest, DerivingTakesOne) {
  const Context parent = Make(1);
  EXPECT_EQ(AllocationsOf([&] { static_cast<void>(testing::Derive(parent, 2)); }), 1);
}

// The stack of a fiber does not come from operator new.
TEST(AllocationTest, SpawnTakesThePlaceInTheFiberAndNoMore) {
  const ContextScope scope(Make(1));
  const auto raw = [] { fibers::fiber(Read).join(); };
  const auto spawned = [] { Spawn(Read).join(); };
  raw();
  spawned();  // the first one makes room for many
  EXPECT_LE(AllocationsOf(spawned), AllocationsOf(raw) + 1);
}

TEST(AllocationTest, ASwitchUnderInheritingTakesNone) {
  std::jthread([] {
    fibers::use_scheduling_algorithm<Inheriting<fibers::algo::round_robin>>();
    const ContextScope scope(Make(1));
    long counted = -1;
    fibers::fiber([&] {
      boost::this_fiber::yield();
      counted = AllocationsOf([] {
        for (int i = 0; i < 100; ++i) boost::this_fiber::yield();
      });
    }).join();
    EXPECT_EQ(counted, 0);
  }).join();
}

TEST(AllocationTest, PlainThreadsGetNoFiberScheduler) {
  std::size_t used = 0;
  std::size_t scheduler = 0;
  std::jthread([&] {
    static_cast<void>(HeapBytes());
    const std::size_t start = HeapBytes();
    {
      static_cast<void>(CurrentId());
      ContextScope scope(Make(1));
      CopyAndScope();
      BindAndCall();
      std::jthread(Bind(CopyAndScope)).join();
      used = HeapBytes() - start;
    }
    const std::size_t quiet = HeapBytes();
    boost::this_fiber::yield();
    scheduler = HeapBytes() - quiet;
  }).join();
  EXPECT_LT(used, 4096);
  EXPECT_GT(scheduler, 65536);  // else the line above proves nothing
}

}  // namespace
}  // namespace weft
