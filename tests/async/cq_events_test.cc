// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_operation.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;

void SetNow(grpc::Alarm& alarm, grpc::CompletionQueue& queue, void* tag) {
  alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), tag);
}

// The queue always has one more event of it.
class Endless final : public CompletionHandler {
 public:
  explicit Endless(grpc::CompletionQueue& queue) : queue_(queue) { SetNow(alarm_, queue_, tag()); }
  void Complete(bool) noexcept override {
    ++events_;
    if (ended_) return done_.set_value();
    SetNow(alarm_, queue_, tag());
  }
  void End() {
    ended_ = true;
    done_.get_future().wait();
  }
  int events() const { return events_; }

 private:
  grpc::CompletionQueue& queue_;
  grpc::Alarm alarm_;
  int events_ = 0;
  bool ended_ = false;
  fibers::promise<void> done_;
};

TEST(CqEventsTest, EventsThatNeverEndStarveNeitherTimersNorFibers) {
  grpc::CompletionQueue queue;
  int events = 0;
  bool woken = false;
  auto timer = fibers::future_status::ready;
  std::jthread([&] {
    const CqScheduler scheduler(&queue);
    Endless endless(queue);
    fibers::promise<void> never;
    timer = never.get_future().wait_for(std::chrono::milliseconds(2));
    fibers::promise<void> promise;
    std::jthread other([&] { promise.set_value(); });
    promise.get_future().wait();
    woken = true;
    for (int i = 0; i < 100; ++i) {
      FiberOperation operation;
      grpc::Alarm alarm;
      SetNow(alarm, queue, operation.tag());
      operation.Await();
    }
    endless.End();
    events = endless.events();
  }).join();
  EXPECT_EQ(timer, fibers::future_status::timeout);
  EXPECT_TRUE(woken);
  EXPECT_GT(events, 100);
}

TEST(CqEventsTest, EventsThatComeTogetherReachTheirFibers) {
  constexpr int kFibers = 300;
  constexpr int kRounds = 20;
  grpc::CompletionQueue queue;
  int completed = 0;
  std::jthread([&] {
    const CqScheduler scheduler(&queue, CqScheduler::Fibers::kInheriting);
    std::vector<fibers::fiber> waiting;
    for (int i = 0; i < kFibers; ++i) {
      waiting.emplace_back([&] {
        for (int round = 0; round < kRounds; ++round) {
          FiberOperation first;
          FiberOperation second;
          grpc::Alarm alarms[2];
          SetNow(alarms[0], queue, first.tag());
          SetNow(alarms[1], queue, second.tag());
          completed += second.Await() && first.Await();
        }
      });
    }
    for (fibers::fiber& fiber : waiting) fiber.join();
  }).join();
  EXPECT_EQ(completed, kFibers * kRounds);
}

}  // namespace
}  // namespace weft
