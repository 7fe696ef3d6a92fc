// SPDX-License-Identifier: Apache-2.0
// A million fibers leave nothing behind.
#include <unistd.h>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <thread>
#include <vector>

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/context/context_stats.h>
#include <weft/context/inheriting.h>
#include <weft/context/spawn.h>

#include "counted_id.h"
#include "heap_bytes.h"

namespace weft {
namespace {

namespace fibers = boost::fibers;
using testing::CountedId;
using testing::CurrentId;
using testing::HeapBytes;
using testing::Make;

// AddressSanitizer keeps freed memory for a while; there the heap tells.
std::size_t ResidentBytes() {
#if defined(__SANITIZE_ADDRESS__)
  return 0;
#else
  std::size_t size = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#endif
}

// `start(stacks, body)` makes a fiber in the current context.
template <typename Start>
void RunMillion(Start start) {
  constexpr int kBatches = 10'000;
  constexpr int kBatch = 100;
  const ContextStats before = ContextStats::Read();
  std::size_t heap = 0;
  std::size_t resident = 0;
  int wrong = 0;
  {
    fibers::pooled_fixedsize_stack stacks(std::size_t{32} * 1024);
    const ContextScope scope(Make(7));
    for (int batch = 0; batch < kBatches; ++batch) {
      if (batch == kBatches / 10) {
        heap = HeapBytes();
        resident = ResidentBytes();
      }
      std::vector<fibers::fiber> children;
      for (int i = 0; i < kBatch; ++i) {
        children.push_back(start(stacks, [&wrong] {
          wrong += CurrentId() != 7;
          boost::this_fiber::yield();
          wrong += CurrentId() != 7;
        }));
      }
      for (auto& child : children) child.join();
    }
    boost::this_fiber::yield();  // the last of them are let go
    EXPECT_LT(HeapBytes(), heap + (std::size_t{1} << 20));
    EXPECT_LT(ResidentBytes(), resident + (std::size_t{4} << 20));
    EXPECT_EQ(CountedId::live(), 1);
  }
  const ContextStats after = ContextStats::Read();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(after.slots_live, before.slots_live);
  EXPECT_LE(after.slots_total, before.slots_total + 2 * kBatch);
  EXPECT_EQ(CountedId::live(), 0);
}

TEST(MillionTest, SpawnedFibersLeaveNothing) {
  std::jthread([] {
    RunMillion([](auto& stacks, auto body) {
      return Spawn(fibers::launch::post, std::allocator_arg, stacks, body);
    });
  }).join();
}

TEST(MillionTest, AdoptedFibersLeaveNothing) {
  std::jthread([] {
    fibers::use_scheduling_algorithm<Inheriting<fibers::algo::round_robin>>();
    RunMillion([](auto& stacks, auto body) {
      return fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, body);
    });
  }).join();
}

}  // namespace
}  // namespace weft
