// SPDX-License-Identifier: Apache-2.0
// 100,000 calls through fibers; after each wait the fiber must find its own context.
#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <boost/fiber/fiber.hpp>

#include <weft/async/call.h>
#include <weft/async/cq_scheduler.h>
#include <weft/async/fiber_server.h>
#include <weft/context/context_scope.h>
#include <weft/context/spawn.h>

namespace weft {
namespace {

using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;

constexpr ContextKey<int> kNumberKey;

int CurrentNumber() {
  const int* const number = Context::View().Find(kNumberKey);
  return number != nullptr ? *number : 0;
}

// A handler calls the next one from its own fiber, until the text is empty.
class ParentAfterAwaitTest : public ::testing::Test {
 protected:
  static constexpr int kCallers = 50;
  static constexpr int kCallsEach = 500;
  static constexpr int kChain = 4;  // handlers for each call

  ParentAfterAwaitTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_.Handle(&service_, &Echo::AsyncService::RequestUnary,
                   [this](grpc::ServerContext*, const Message* request, Message* response) {
                     return Handle(*request, response);
                   });
    EXPECT_TRUE(server_.Start(builder).ok());
    stub_ = Echo::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                              grpc::InsecureChannelCredentials()));
  }
  ~ParentAfterAwaitTest() override {
    server_.Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }

  grpc::Status Handle(const Message& request, Message* response) {
    wrong_ += CurrentNumber() != 0;
    const ContextScope scope(Context().With(kNumberKey, ++handled_));
    const int own = CurrentNumber();
    if (!request.text().empty()) Ask(own, request.text().substr(1));
    response->set_text(request.text() + "!");
    return grpc::Status::OK;
  }

  void Ask(int own, const std::string& text) {
    Message request;
    request.set_text(text);
    const auto result = CallUnary(*stub_, &Stub::PrepareAsyncUnary, request);
    wrong_ += CurrentNumber() != own;
    wrong_ += !result.ok() || result.response.text() != text + "!";
  }

  Echo::AsyncService service_;
  FiberServer server_{{.threads = 2}};
  std::unique_ptr<Stub> stub_;
  std::atomic<int> handled_ = 0;
  std::atomic<int> wrong_ = 0;
};

TEST_F(ParentAfterAwaitTest, IsRightInChainsOfClientAndServerCalls) {
  std::jthread([this] {
    grpc::CompletionQueue queue;
    const CqScheduler scheduler(&queue);
    std::vector<boost::fibers::fiber> callers;
    for (int caller = 1; caller <= kCallers; ++caller) {
      const ContextScope scope(Context().With(kNumberKey, -caller));
      callers.push_back(Spawn([this, caller] {
        for (int i = 0; i < kCallsEach; ++i) Ask(-caller, std::string(kChain - 1, '+'));
      }));
    }
    for (auto& caller : callers) caller.join();
  }).join();
  EXPECT_EQ(wrong_, 0);
  EXPECT_EQ(handled_, kCallers * kCallsEach * kChain);
}

}  // namespace
}  // namespace weft
