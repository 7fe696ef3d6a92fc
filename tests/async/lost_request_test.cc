// SPDX-License-Identifier: Apache-2.0
// Shutdowns while a thread stands in the middle of asking gRPC for a call: between looking whether
// the server shuts down, and putting the request where a shutdown looks for it.
#include <dlfcn.h>
#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <boost/fiber/fiber.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_operation.h>
#include <weft/async/fiber_server.h>

// grpc_core::LockedMultiProducerSingleConsumerQueue::Push, which gRPC calls through its shared
// library's table of functions: here it comes first, and goes on to gRPC's own.
#define WEFT_PUSH                                              \
  "_ZN9grpc_core38LockedMultiProducerSingleConsumerQueue4Push" \
  "EPNS_32MultiProducerSingleConsumerQueue4NodeE"

namespace {

/// Stops a thread in a request for a call.
class Stop {
 public:
  /// At the request after `others`.
  void Arm(int others) {
    left_ = others + 1;
    stopped_ = false;
  }
  void Pushing() {
    if (--left_ != 0) return;
    std::unique_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
    // Long enough for whole shutdowns of others, if they do not wait for this thread.
    changed_.wait_for(lock, std::chrono::milliseconds(300), [] { return false; });
  }
  bool Await() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [this] { return stopped_; });
  }

 private:
  std::atomic<int> left_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

Stop& TheStop() {
  static Stop stop;
  return stop;
}

}  // namespace

extern "C" bool Push(void* list, void* node) __asm__(WEFT_PUSH);
extern "C" bool Push(void* list, void* node) {
  using Function = bool (*)(void*, void*);
  static const auto grpcs = reinterpret_cast<Function>(dlsym(RTLD_NEXT, WEFT_PUSH));
  TheStop().Pushing();
  return grpcs(list, node);
}

namespace weft {
namespace {

using echo::Echo;
using echo::Message;
using std::chrono::system_clock;

/// Runs `body`, and the process ends with it if it does not return: nothing could end its threads.
template <typename Body>
void WithinAMinute(Body body) {
  std::promise<void> ended;
  std::jthread watch([future = ended.get_future()] {
    if (future.wait_for(std::chrono::minutes(1)) == std::future_status::ready) return;
    std::fputs("the shutdown did not end\n", stderr);
    std::abort();
  });
  body();
  ended.set_value();
}

class LostRequestOfServerTest : public ::testing::TestWithParam<int> {};

TEST_P(LostRequestOfServerTest, AFiberServerEnds) {
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  FiberServer server;
  int handled = 0;
  server.Handle(&service, &Echo::AsyncService::RequestUnary,
                [&](grpc::ServerContext*, const Message*, Message*) {
                  ++handled;
                  return grpc::Status::OK;
                });
  TheStop().Arm(GetParam());
  ASSERT_TRUE(server.Start(builder).ok());
  ASSERT_TRUE(TheStop().Await());
  WithinAMinute([&] { server.Shutdown(system_clock::now()); });
  EXPECT_EQ(handled, 0);
}

INSTANTIATE_TEST_SUITE_P(Requests, LostRequestOfServerTest, ::testing::Values(7, 31));

TEST(LostRequestTest, AFiberThatAsksDuringTheShutdownIsRefused) {
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  bool accepted = true;
  WithinAMinute([&] {
    std::jthread([&] {
      const CqScheduler scheduler(queue.get());
      boost::fibers::fiber asking([&] {
        grpc::ServerContext context;
        Message message;
        grpc::ServerAsyncResponseWriter<Message> writer(&context);
        FiberOperation asked;
        TheStop().Arm(0);
        service.RequestUnary(&context, &message, &writer, queue.get(), queue.get(), asked.tag());
        accepted = asked.Await();
      });
      ShutdownServer(*server, system_clock::now());
      asking.join();
    }).join();
  });
  EXPECT_FALSE(accepted);
}

TEST(BlockedThreadTest, AHandlerThatWaitsForTheShutdownOfItsServerEnds) {
  Echo::AsyncService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  FiberServer server({.threads = 1});
  std::shared_ptr<grpc::Channel> channel;
  std::promise<void> handling;
  server.Handle(&service, &Echo::AsyncService::RequestUnary,
                [&](grpc::ServerContext*, const Message*, Message*) {
                  handling.set_value();
                  // Nobody handles the method, so that only the shutdown ends the call.
                  grpc::ClientContext context;
                  auto reader = Echo::NewStub(channel)->ServerStream(&context, Message());
                  return reader->Finish();
                });
  ASSERT_TRUE(server.Start(builder).ok());
  channel =
      grpc::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials());
  grpc::Status status;
  std::jthread caller([&] {
    grpc::ClientContext context;
    Message reply;
    status = Echo::NewStub(channel)->Unary(&context, Message(), &reply);
  });
  handling.get_future().wait();
  WithinAMinute([&] { server.Shutdown(system_clock::now()); });
  caller.join();
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace weft
