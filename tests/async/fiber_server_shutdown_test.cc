// SPDX-License-Identifier: Apache-2.0
// A FiberServer, its clients and the servers that it calls end in every order.
#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
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
#include <weft/async/fiber_server.h>
#include <weft/async/stream.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;
using echo::Echo;
using echo::Message;
using Service = Echo::AsyncService;
using Stub = Echo::Stub;

std::chrono::system_clock::time_point Soon() {
  return std::chrono::system_clock::now() + std::chrono::seconds(20);
}

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

TEST_F(FiberServerShutdownTest, ByAHandlerAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto shut_down_by_handler = [] {
    std::optional<Running> running;
    running.emplace([&](grpc::ServerContext*, const Message*, Message*) {
      running->server->Shutdown(Soon());
      return grpc::Status::OK;
    });
    static_cast<void>(running->Ask());
  };
  EXPECT_DEATH(shut_down_by_handler(), "Shutdown was called by a handler");
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
  std::jthread([&] {
    const CqScheduler scheduler(&queue);
    fibers::fiber caller([&] { status = running.Ask(); });
    while (arrived_ == 0) boost::this_fiber::yield();
    running.stub.reset();
    release.set_value();
    caller.join();
  }).join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace weft
