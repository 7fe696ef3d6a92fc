// SPDX-License-Identifier: Apache-2.0
// Every order in which fibers, a scheduler, its queue, a server and its clients may end.
//
// Of a queue with fibers around it these end: the server is shut down (S), the fibers have returned
// (F), the scheduler is destroyed and with it the queue shut down (Q), the server is destroyed (D).
// S comes before Q and Q before D, as gRPC asks; that leaves S F Q D, F S Q D and S Q F D. Without
// a server: F Q and Q F. Q S waits for S; ../context/README.md says what happens in the others.
#include <echo.grpc.pb.h>
#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/call.h>
#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_operation.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;
using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;
using std::chrono::system_clock;

system_clock::time_point Soon() { return system_clock::now() + std::chrono::seconds(20); }

template <typename Body>
void OnThread(Body body) {
  std::jthread(std::move(body)).join();
}

// --- A queue without a server ---

TEST(QueueShutdownTest, FibersThenScheduler) {
  grpc::CompletionQueue queue;
  bool fired = false;
  OnThread([&] {
    const CqScheduler scheduler(&queue);
    fibers::fiber([&] {
      FiberOperation operation;
      grpc::Alarm alarm;
      alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), operation.tag());
      fired = operation.Await();
    }).join();
  });
  EXPECT_TRUE(fired);
}

TEST(QueueShutdownTest, SchedulerThenFibersThatWaitForTheQueue) {
  grpc::CompletionQueue queue;
  std::optional<bool> fired;
  OnThread([&] {
    std::optional<CqScheduler> scheduler(std::in_place, &queue);
    grpc::Alarm alarm;
    FiberOperation operation;
    alarm.Set(&queue, Soon(), operation.tag());
    fibers::fiber waiting(fibers::launch::dispatch, [&] { fired = operation.Await(); });
    std::jthread canceller([&] { alarm.Cancel(); });
    scheduler.reset();  // waits for what was started
    waiting.join();
  });
  EXPECT_EQ(fired, false);
}

TEST(QueueShutdownTest, SchedulerThenOperationsThatNobodyAwaitsYet) {
  grpc::CompletionQueue queue;
  FiberOperation operation;
  OnThread([&] {
    grpc::Alarm alarm;
    const CqScheduler scheduler(&queue);
    alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), operation.tag());
  });
  EXPECT_TRUE(operation.Await());
}

TEST(QueueShutdownTest, SchedulerThenFibersThatWaitForEachOther) {
  grpc::CompletionQueue queue;
  int received = 0;
  OnThread([&] {
    std::optional<CqScheduler> scheduler(std::in_place, &queue);
    fibers::promise<int> promise;
    fibers::fiber waiting(fibers::launch::dispatch, [&] { received = promise.get_future().get(); });
    scheduler.reset();
    fibers::fiber([&] { promise.set_value(7); }).join();
    waiting.join();
  });
  EXPECT_EQ(received, 7);
}

TEST(QueueShutdownTest, OneSchedulerAfterAnotherOnAThread) {
  int fired = 0;
  OnThread([&] {
    for (int round = 0; round < 3; ++round) {
      grpc::CompletionQueue queue;
      const CqScheduler scheduler(&queue);
      EXPECT_EQ(CqScheduler::Current(), &scheduler);
      fibers::fiber([&] {
        FiberOperation operation;
        grpc::Alarm alarm;
        alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), operation.tag());
        fired += operation.Await();
      }).join();
    }
  });
  EXPECT_EQ(fired, 3);
}

TEST(QueueShutdownDeathTest, AnOperationAfterTheSchedulerAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto start_late = [] {
    grpc::CompletionQueue queue;
    { const CqScheduler scheduler(&queue); }
    FiberOperation operation;
    grpc::Alarm alarm;
    alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), operation.tag());
  };
  EXPECT_DEATH(start_late(), "grpc_cq_begin_op");
}

// --- A queue of a server ---

struct Serving {
  Serving() {
    grpc::ServerBuilder builder;
    builder.RegisterAsyncGenericService(&service);
    queue = builder.AddCompletionQueue();
    server = builder.BuildAndStart();
  }

  // Waits for a call and ends it. False: there will be none.
  bool Serve() {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    FiberOperation operation;
    service.RequestCall(&context, &stream, queue.get(), queue.get(), operation.tag());
    if (!operation.Await()) return false;
    stream.Finish(grpc::Status::OK, operation.tag());
    operation.Await();
    return true;
  }

  // Not on the thread of the queue.
  void ShutDown() { server->Shutdown(Soon()); }

  grpc::AsyncGenericService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  std::unique_ptr<grpc::Server> server;
};

TEST(ServerQueueShutdownTest, ServerThenFibersThenScheduler) {
  Serving serving;
  std::promise<void> requested;
  int refused = 0;
  fibers::promise<void> shut_down;
  std::jthread thread([&] {
    const CqScheduler scheduler(serving.queue.get());
    fibers::fiber first(fibers::launch::dispatch, [&] { refused += !serving.Serve(); });
    fibers::fiber second(fibers::launch::dispatch, [&] { refused += !serving.Serve(); });
    requested.set_value();
    first.join();
    second.join();
    shut_down.get_future().wait();
  });
  requested.get_future().wait();
  serving.ShutDown();
  shut_down.set_value();
  thread.join();
  EXPECT_EQ(refused, 2);
}

TEST(ServerQueueShutdownTest, FibersThenServerThenScheduler) {
  Serving serving;
  Stub stub(serving.server->InProcessChannel({}));
  std::promise<void> served;
  fibers::promise<void> shut_down;
  std::jthread thread([&] {
    const CqScheduler scheduler(serving.queue.get());
    fibers::fiber([&] { EXPECT_TRUE(serving.Serve()); }).join();
    served.set_value();
    shut_down.get_future().wait();
  });
  static_cast<void>(CallUnary(stub, &Stub::PrepareAsyncUnary, Message(), Soon()));
  served.get_future().wait();
  serving.ShutDown();
  shut_down.set_value();
}

TEST(ServerQueueShutdownTest, ServerThenSchedulerThenFibers) {
  Serving serving;
  std::promise<void> requested;
  std::promise<void> shut_down;
  std::optional<bool> served;
  std::jthread thread([&] {
    std::optional<CqScheduler> scheduler(std::in_place, serving.queue.get());
    fibers::fiber waiting(fibers::launch::dispatch, [&] { served = serving.Serve(); });
    requested.set_value();
    shut_down.get_future().wait();  // blocks the thread: the fiber cannot run before
    scheduler.reset();
    EXPECT_FALSE(served);
    waiting.join();
  });
  requested.get_future().wait();
  serving.ShutDown();
  shut_down.set_value();
  thread.join();
  EXPECT_EQ(served, false);
}

// A tag that says when it came out.
struct Told final : CompletionHandler {
  void Complete(bool) noexcept override { told.set_value(); }
  std::promise<void> told;
};

TEST(ServerQueueShutdownTest, SchedulerBeforeTheServerWaitsForIt) {
  Serving serving;
  grpc::Alarm alarm;
  Told closing;
  std::promise<void> requested;
  std::optional<bool> served;
  std::jthread thread([&] {
    std::optional<CqScheduler> scheduler(std::in_place, serving.queue.get());
    fibers::fiber waiting(fibers::launch::dispatch, [&] { served = serving.Serve(); });
    alarm.Set(serving.queue.get(), Soon(), closing.tag());
    requested.set_value();
    scheduler.reset();
    waiting.join();
  });
  requested.get_future().wait();
  alarm.Cancel();
  closing.told.get_future().wait();  // only the destructor polls, after it shut the queue down
  serving.ShutDown();
  thread.join();
  EXPECT_EQ(served, false);
}

TEST(ServerQueueShutdownTest, ServerInAFiberOfTheQueue) {
  Serving serving;
  Stub stub(serving.server->InProcessChannel({}));
  const auto call = [&] {
    return CallUnary(stub, &Stub::PrepareAsyncUnary, Message(), Soon()).status;
  };
  int served = 0;
  OnThread([&] {
    const CqScheduler scheduler(serving.queue.get());
    bool handling = false;
    fibers::fiber handler(fibers::launch::dispatch, [&] {
      grpc::GenericServerContext context;
      grpc::GenericServerAsyncReaderWriter stream(&context);
      FiberOperation operation;
      FiberOperation cancelled;
      context.AsyncNotifyWhenDone(cancelled.tag());
      serving.service.RequestCall(&context, &stream, serving.queue.get(), serving.queue.get(),
                                  operation.tag());
      served += operation.Await();
      handling = true;
      cancelled.Await();  // by the shutdown, which waits for this call
      stream.Finish(grpc::Status::CANCELLED, operation.tag());
      operation.Await();
    });
    std::jthread caller(call);
    while (!handling) boost::this_fiber::yield();
    ShutdownServer(*serving.server, system_clock::now());
    handler.join();
  });
  EXPECT_EQ(served, 1);
}

}  // namespace
}  // namespace weft
