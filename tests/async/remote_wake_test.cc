// SPDX-License-Identifier: Apache-2.0
// A thread ends as soon as another one has woken it: the waker must not touch what went with it.
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>

#include <weft/async/cq_scheduler.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;
using Future = fibers::future<void>;

void WaitInAFiber(Future future) {
  grpc::CompletionQueue queue;
  const CqScheduler scheduler(&queue);
  fibers::fiber([&] { future.wait(); }).join();
}
void WaitOutsideFibers(Future future) {
  grpc::CompletionQueue queue;
  const CqScheduler scheduler(&queue, CqScheduler::Fibers::kInheriting);
  future.wait();
}
void WaitWithoutTheQueue(Future future) {
  grpc::CompletionQueue queue;
  { const CqScheduler scheduler(&queue); }
  fibers::fiber([&] { future.wait(); }).join();
}

TEST(RemoteWakeTest, RacesTheEndOfTheThread) {
  constexpr std::size_t kRounds = 10'000;
  constexpr std::array kWays{WaitInAFiber, WaitOutsideFibers, WaitWithoutTheQueue};
  std::vector<fibers::promise<void>> promises(kRounds);
  std::atomic<std::size_t> waiting = 0;
  std::jthread waker([&] {
    for (std::size_t round = 0; round < kRounds; ++round) {
      while (waiting <= round) std::this_thread::yield();
      promises[round].set_value();
    }
  });
  // On a busy machine a round may take two turns of the scheduler.
  const auto enough = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::size_t rounds = 0;
  std::size_t ended = 0;
  for (; rounds < kRounds && std::chrono::steady_clock::now() < enough; ++rounds) {
    std::jthread([&] {
      Future future = promises[rounds].get_future();
      ++waiting;
      kWays[rounds % kWays.size()](std::move(future));
      ++ended;
    }).join();
  }
  waiting = kRounds;  // lets the waker end
  EXPECT_GT(ended, 0);
  EXPECT_EQ(ended, rounds);
}

}  // namespace
}  // namespace weft
