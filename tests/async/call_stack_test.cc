// SPDX-License-Identifier: Apache-2.0
// What runs on the stack that the fibers of a thread share is still its own fiber.
#include <weft/async/internal/call_stack.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <boost/context/fixedsize_stack.hpp>
#include <boost/coroutine2/coroutine.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/context/execution_context.h>

namespace weft {
namespace {

using internal::OnCallStack;

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kHasCallStack = true;
#else
constexpr bool kHasCallStack = false;
#endif

constexpr ContextKey<int> kNumber;

Context Numbered(int number) { return Context().With(kNumber, number); }
int CurrentNumber() {
  const int* const number = Context::Current().Find(kNumber);
  return number != nullptr ? *number : 0;
}

[[gnu::noinline]] std::uintptr_t Here() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}
bool Near(std::uintptr_t one, std::uintptr_t other) {
  return (one > other ? one - other : other - one) < 16 * 1024;
}

// Runs `body` in a fiber of a thread with a scheduler.
template <typename Body>
void InFiber(CqScheduler::Fibers fibers, Body body) {
  grpc::CompletionQueue queue;
  std::thread([&] {
    const CqScheduler scheduler(&queue, fibers);
    boost::fibers::fiber(body).join();
  }).join();
}

class CallStackTest : public ::testing::TestWithParam<CqScheduler::Fibers> {};
INSTANTIATE_TEST_SUITE_P(Fibers, CallStackTest,
                         ::testing::Values(CqScheduler::Fibers::kPlain,
                                           CqScheduler::Fibers::kInheriting));

TEST_P(CallStackTest, FibersOfAThreadShareIt) {
  InFiber(GetParam(), [] {
    std::uintptr_t first = 0;
    OnCallStack([&] { first = Here(); });
    EXPECT_EQ(Near(first, Here()), !kHasCallStack);
    boost::fibers::fiber([&] {
      std::uintptr_t second = 0;
      OnCallStack([&] { second = Here(); });
      EXPECT_EQ(Near(first, second), kHasCallStack);
      EXPECT_EQ(Near(second, Here()), !kHasCallStack);
    }).join();
  });
}

TEST_P(CallStackTest, TheContextIsThatOfTheFiber) {
  InFiber(GetParam(), [] {
    const ContextScope scope(Numbered(1));
    OnCallStack([] {
      EXPECT_EQ(CurrentNumber(), 1);
      const ContextScope inner(Numbered(2));
      EXPECT_EQ(CurrentNumber(), 2);
    });
    EXPECT_EQ(CurrentNumber(), 1);
    boost::fibers::fiber([] {
      const ContextScope other(Numbered(3));
      OnCallStack([] { EXPECT_EQ(CurrentNumber(), 3); });
      EXPECT_EQ(CurrentNumber(), 3);
    }).join();
    EXPECT_EQ(CurrentNumber(), 1);
    OnCallStack([] { EXPECT_EQ(CurrentNumber(), 1); });
  });
}

// Such a fiber gets its place for a context while it is there.
TEST(CallStackContextTest, AFiberWithoutAContextLeavesNoneBehind) {
  InFiber(CqScheduler::Fibers::kPlain, [] {
    OnCallStack([] {
      EXPECT_EQ(CurrentNumber(), 0);
      const ContextScope scope(Numbered(1));
      EXPECT_EQ(CurrentNumber(), 1);
    });
    EXPECT_EQ(CurrentNumber(), 0);
    boost::fibers::fiber([] {
      OnCallStack([] { EXPECT_EQ(CurrentNumber(), 0); });
      EXPECT_EQ(CurrentNumber(), 0);
    }).join();
    const ContextScope scope(Numbered(2));
    boost::fibers::fiber([] { OnCallStack([] { EXPECT_EQ(CurrentNumber(), 0); }); }).detach();
    boost::this_fiber::yield();
    EXPECT_EQ(CurrentNumber(), 2);
  });
}

// As the hook of an interceptor may.
TEST_P(CallStackTest, AFiberMayWaitThere) {
  InFiber(GetParam(), [] {
    boost::fibers::promise<void> go_on;
    boost::fibers::fiber waiting([&] {
      const ContextScope scope(Numbered(1));
      OnCallStack([&] {
        const ContextScope inner(Numbered(2));
        go_on.get_future().wait();
        EXPECT_EQ(CurrentNumber(), 2);
      });
      EXPECT_EQ(CurrentNumber(), 1);
    });
    boost::this_fiber::yield();
    {
      const ContextScope scope(Numbered(3));
      OnCallStack([] {  // where it is: the other one is there
        EXPECT_EQ(CurrentNumber(), 3);
        boost::this_fiber::yield();
        EXPECT_EQ(CurrentNumber(), 3);
      });
      EXPECT_EQ(CurrentNumber(), 3);
    }
    EXPECT_EQ(CurrentNumber(), 0);
    go_on.set_value();
    waiting.join();
    std::uintptr_t there = 0;
    OnCallStack([&] { there = Here(); });
    EXPECT_EQ(Near(there, Here()), !kHasCallStack) << "it is free again";
  });
}

TEST_P(CallStackTest, CallsNest) {
  InFiber(GetParam(), [] {
    const ContextScope scope(Numbered(1));
    int deep = 0;
    OnCallStack([&] { OnCallStack([&] { OnCallStack([&] { deep = CurrentNumber(); }); }); });
    EXPECT_EQ(deep, 1);
  });
}

// A coroutine with a stack of its own is not the fiber that resumed it.
TEST_P(CallStackTest, TheContextIsThatOfACoroutine) {
  InFiber(GetParam(), [] {
    const ContextScope scope(Numbered(1));
    using Coroutine = boost::coroutines2::coroutine<void>;
    Coroutine::pull_type coroutine(ExecutionContextStack{boost::context::fixedsize_stack()},
                                   [](Coroutine::push_type& yield) {
                                     const ContextScope inner(Numbered(2));
                                     yield();
                                     OnCallStack([] {
                                       boost::this_fiber::yield();
                                       EXPECT_EQ(CurrentNumber(), 2);
                                     });
                                     EXPECT_EQ(CurrentNumber(), 2);
                                   });
    EXPECT_EQ(CurrentNumber(), 1);
    coroutine();
    EXPECT_EQ(CurrentNumber(), 1);
  });
}

TEST_P(CallStackTest, ExceptionsReachTheCaller) {
  InFiber(GetParam(), [] {
    const ContextScope scope(Numbered(1));
    const auto fail = [] {
      const ContextScope inner(Numbered(2));
      throw std::runtime_error("as a stub of a test may");
    };
    for (int i = 0; i < 3; ++i) {
      EXPECT_THROW(OnCallStack(fail), std::runtime_error);
      EXPECT_EQ(CurrentNumber(), 1);
    }
  });
}

TEST(CallStackThreadTest, WithoutASchedulerOneStaysOnOnesOwn) {
  std::uintptr_t there = 0;
  OnCallStack([&] { there = Here(); });
  EXPECT_TRUE(Near(there, Here()));
}

// The first fiber of the thread is no fiber that Boost made a stack for.
TEST_P(CallStackTest, TheThreadItselfMayCallToo) {
  grpc::CompletionQueue queue;
  std::thread([&] {
    const CqScheduler scheduler(&queue, GetParam());
    const ContextScope scope(Numbered(1));
    OnCallStack([] {
      EXPECT_EQ(CurrentNumber(), 1);
      boost::this_fiber::yield();
      EXPECT_EQ(CurrentNumber(), 1);
    });
    EXPECT_EQ(CurrentNumber(), 1);
  }).join();
}

// A scheduler may end before the fibers of its thread.
TEST(CallStackThreadTest, AFiberThatWaitsThereOutlivesTheScheduler) {
  std::thread([&] {
    boost::fibers::promise<void> go_on;
    boost::fibers::fiber waiting;
    grpc::CompletionQueue first_queue;
    grpc::CompletionQueue second_queue;
    {
      const CqScheduler first(&first_queue);
      waiting = boost::fibers::fiber([&] { OnCallStack([&] { go_on.get_future().wait(); }); });
      boost::this_fiber::yield();
    }
    const CqScheduler second(&second_queue);
    go_on.set_value();
    waiting.join();
  }).join();
}

}  // namespace
}  // namespace weft
