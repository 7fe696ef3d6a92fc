// SPDX-License-Identifier: Apache-2.0
// Every order in which fibers, a scheduler, its queue, a server and its clients may end.
//
// Of a queue with fibers around it these end: the server is shut down (S), the fibers have returned
// (F), the scheduler is destroyed and with it the queue shut down (Q), the server is destroyed (D).
// S comes before Q and Q before D, as gRPC asks; that leaves S F Q D, F S Q D and S Q F D. Without
// a server: F Q and Q F. README.md says what happens in the others.
#include <echo.grpc.pb.h>
#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/call.h>
#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_operation.h>
#include <weft/async/fiber_server.h>
#include <weft/async/stream.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;
using echo::Echo;
using echo::Message;
using Service = Echo::AsyncService;
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

// --- A FiberServer, its clients and the servers that it calls ---

class FiberServerShutdownTest : public ::testing::Test {
 protected:
  struct Running {
    template <typename Unary>
    explicit Running(Unary unary) {
      grpc::ServerBuilder builder;
      int port = 0;
      builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
      builder.RegisterService(&service);
      server.emplace();
      server->Handle(&service, &Service::RequestUnary, std::move(unary));
      server->Handle(&service, &Service::RequestBidi, Echoes);
      EXPECT_TRUE(server->Start(builder).ok());
      stub = Echo::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                               grpc::InsecureChannelCredentials()));
    }
    static grpc::Status Echoes(grpc::ServerContext*,
                               RequestResponseStream<Message, Message>& stream) {
      for (Message message; stream.Read(&message);) stream.Write(message);
      return grpc::Status::OK;
    }
    grpc::Status Ask() {
      return CallUnary(*stub, &Stub::PrepareAsyncUnary, Message(), Soon()).status;
    }

    Service service;
    std::optional<FiberServer> server;
    std::unique_ptr<Stub> stub;
  };

  // A handler that waits until its call is cancelled.
  auto Forever() {
    return [this](grpc::ServerContext* context, const Message*, Message*) {
      ++arrived_;
      while (!context->IsCancelled()) boost::this_fiber::yield();
      return grpc::Status::CANCELLED;
    };
  }
  // One that calls `other`, and is done when that is.
  auto Asking(Running& other) {
    return [this, &other](grpc::ServerContext* context, const Message*, Message*) {
      ++arrived_;
      const auto client_context = grpc::ClientContext::FromServerContext(*context);
      return CallUnary(*other.stub, &Stub::PrepareAsyncUnary, Message(), *client_context).status;
    };
  }
  void AwaitArrivals(int count) const {
    while (arrived_ < count) std::this_thread::yield();
  }

  std::atomic<int> arrived_ = 0;
};

TEST_F(FiberServerShutdownTest, NeverStarted) {
  FiberServer server;
  server.Shutdown(Soon());
  EXPECT_EQ(server.server(), nullptr);
}

TEST_F(FiberServerShutdownTest, AtOnceAndTwice) {
  Running running(Forever());
  running.server->Shutdown(Soon());
  running.server->Shutdown(Soon());
  EXPECT_FALSE(running.Ask().ok());
}

TEST_F(FiberServerShutdownTest, DestroyedWhileAHandlerRuns) {
  Running running(Forever());
  grpc::Status status;
  std::jthread caller([&] { status = running.Ask(); });
  AwaitArrivals(1);
  running.server.reset();
  caller.join();
  EXPECT_FALSE(status.ok());
}

TEST_F(FiberServerShutdownTest, CalledServerFirst) {
  Running called(Forever());
  Running calling(Asking(called));
  grpc::Status status;
  std::jthread caller([&] { status = calling.Ask(); });
  AwaitArrivals(2);
  called.server.reset();
  caller.join();  // the caller's server answers
  calling.server.reset();
  EXPECT_FALSE(status.ok());
}

TEST_F(FiberServerShutdownTest, CallingServerFirst) {
  Running called(Forever());
  Running calling(Asking(called));
  grpc::Status status;
  std::jthread caller([&] { status = calling.Ask(); });
  AwaitArrivals(2);
  calling.server.reset();  // cancels the call that its handler waits for
  caller.join();
  called.server.reset();
  EXPECT_FALSE(status.ok());
}

TEST_F(FiberServerShutdownTest, OfAServerThatCallsItself) {
  std::optional<Running> running;
  running.emplace([&](grpc::ServerContext* context, const Message* request, Message* response) {
    if (request->text() == "inner") return Forever()(context, request, response);
    ++arrived_;
    Message inner;
    inner.set_text("inner");
    return CallUnary(*running->stub, &Stub::PrepareAsyncUnary, inner, Soon()).status;
  });
  grpc::Status status;
  std::jthread caller([&] { status = running->Ask(); });
  AwaitArrivals(2);
  running->server.reset();
  caller.join();
  EXPECT_FALSE(status.ok());
}

TEST_F(FiberServerShutdownTest, ServerBeforeAStreamOfItsClient) {
  Running running(Forever());
  auto stream = OpenStream(*running.stub, &Stub::PrepareAsyncBidi);
  Message message;
  ASSERT_TRUE(stream.Write(message) && stream.Read(&message));
  running.server.reset();
  EXPECT_FALSE(stream.Read(&message));
  EXPECT_FALSE(stream.Finish().ok());
}

TEST_F(FiberServerShutdownTest, StubAndChannelWhileACallIsUnderWay) {
  fibers::promise<void> release;
  auto released = release.get_future().share();
  Running running([&](grpc::ServerContext*, const Message*, Message*) {
    ++arrived_;
    released.wait();
    return grpc::Status::OK;
  });
  grpc::CompletionQueue queue;
  grpc::Status status(grpc::StatusCode::UNKNOWN, "not ended");
  OnThread([&] {
    const CqScheduler scheduler(&queue);
    fibers::fiber caller([&] { status = running.Ask(); });
    while (arrived_ == 0) boost::this_fiber::yield();
    running.stub.reset();
    release.set_value();
    caller.join();
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace weft
