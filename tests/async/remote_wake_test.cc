// SPDX-License-Identifier: Apache-2.0
// A thread ends as soon as another one has woken it: the waker must not touch what went with it.
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>

#include <weft/async/cq_scheduler.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;

struct Way {
  const char* name;
  // Runs on a thread of its own, which ends when the future is ready.
  void (*wait)(grpc::CompletionQueue& queue, fibers::future<void> future);
};

class RemoteWakeTest : public ::testing::TestWithParam<Way> {};

TEST_P(RemoteWakeTest, RacesTheEndOfTheThread) {
  constexpr int kRounds = 10'000;
  std::vector<fibers::promise<void>> promises(kRounds);
  std::atomic<int> waiting = -1;
  std::jthread waker([&] {
    for (int round = 0; round < kRounds; ++round) {
      while (waiting < round) std::this_thread::yield();
      promises[static_cast<std::size_t>(round)].set_value();
    }
  });
  int ended = 0;
  for (int round = 0; round < kRounds; ++round) {
    // Here, since the waker may still be busy with it when the thread has ended.
    grpc::CompletionQueue queue;
    std::jthread([&] {
      auto future = promises[static_cast<std::size_t>(round)].get_future();
      waiting = round;
      GetParam().wait(queue, std::move(future));
      ++ended;
    }).join();
  }
  EXPECT_EQ(ended, kRounds);
}

INSTANTIATE_TEST_SUITE_P(
    , RemoteWakeTest,
    ::testing::Values(Way{"OfAFiber",
                          [](grpc::CompletionQueue& queue, fibers::future<void> future) {
                            const CqScheduler scheduler(&queue);
                            fibers::fiber([&] { future.wait(); }).join();
                          }},
                      Way{"OfTheThreadItself",
                          [](grpc::CompletionQueue& queue, fibers::future<void> future) {
                            const CqScheduler scheduler(&queue, CqScheduler::Fibers::kInheriting);
                            future.wait();
                          }},
                      Way{"WithoutTheQueue",
                          [](grpc::CompletionQueue& queue, fibers::future<void> future) {
                            { const CqScheduler scheduler(&queue); }
                            fibers::fiber([&] { future.wait(); }).join();
                          }}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace weft
