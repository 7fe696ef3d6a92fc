// SPDX-License-Identifier: Apache-2.0
// Traced calls through fibers: every run has its own parent.
#include <echo.grpc.pb.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weft/async/call.h>
#include <weft/async/fiber_server.h>
#include <weft/context/async.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {
namespace {

using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;
using testing::HasMetadata;
using testing::HasParent;

Message Text(const std::string& text) {
  Message message;
  message.set_text(text);
  return message;
}

// "n" calls the server itself twice with "n-1", both at once.
class TracedFiberTest : public ::testing::Test {
 protected:
  TracedFiberTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    EXPECT_TRUE(InterceptServer(builder, {.tracer = tracer_}).ok());
    server_.Handle(&service_, &Echo::AsyncService::RequestUnary,
                   [this](grpc::ServerContext*, const Message* request, Message* response) {
                     return FanOut(*request, response);
                   });
    EXPECT_TRUE(server_.Start(builder).ok());
    stub_ = Echo::NewStub(CreateChannel("127.0.0.1:" + std::to_string(port),
                                        grpc::InsecureChannelCredentials(), {.tracer = tracer_}));
  }

  grpc::Status FanOut(const Message& request, Message* response) {
    const weft::Run own(request.text());
    const int depth = std::stoi(request.text().substr(request.text().find(' ') + 1));
    if (depth == 0) return grpc::Status::OK;
    const auto ask = [&](const std::string& name) {
      return CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text(name)).status;
    };
    const std::string below = " " + std::to_string(depth - 1);
    auto left = Async(ask, request.text().substr(0, request.text().find(' ')) + "l" + below);
    auto right = Async(ask, request.text().substr(0, request.text().find(' ')) + "r" + below);
    response->set_text("done");
    const grpc::Status status = left.get();
    return status.ok() ? right.get() : status;
  }

  const std::shared_ptr<testing::InMemoryExporter> exporter_ =
      std::make_shared<testing::InMemoryExporter>();
  const std::shared_ptr<Tracer> tracer_ = *Tracer::Create({.exporters = {exporter_}});
  Echo::AsyncService service_;
  FiberServer server_{{.threads = 2}};
  std::unique_ptr<Stub> stub_;
};

TEST_F(TracedFiberTest, EveryRunOfAFanOutHasItsOwnParent) {
  constexpr int kTrees = 20;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < kTrees; ++i) {
      callers.emplace_back([this, i] {
        const weft::Run root("root", {.tracer = tracer_});
        const std::string name = "t" + std::to_string(i);
        EXPECT_TRUE(CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text(name + " 3")).ok());
      });
    }
  }
  server_.Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(20));
  // A tree has 1 + 2 + 4 + 8 handlers, each below a run of the client and one of the server.
  ASSERT_TRUE(exporter_->WaitFor(kTrees * (1 + 15 * 3)));
  const testing::RunTree tree = exporter_->Tree();
  for (int i = 0; i < kTrees; ++i) {
    for (const char* path : {"", "l", "r", "ll", "lr", "rl", "rr", "lll", "rrr", "lrl"}) {
      const std::string name = "t" + std::to_string(i) + path;
      const std::string depth = std::to_string(3 - std::string(path).size());
      const auto handler = tree.FindRun(name + " " + depth);
      ASSERT_TRUE(handler) << name;
      const auto server = handler.Parent();
      EXPECT_THAT(server, HasMetadata("weft.server_api", "fiber"));
      const auto client = server.Parent();
      ASSERT_TRUE(client) << name;
      const std::string caller =
          *path == 0 ? "root"
                     : name.substr(0, name.size() - 1) + " " + std::to_string(std::stoi(depth) + 1);
      EXPECT_THAT(client, HasParent(caller));
    }
  }
}

}  // namespace
}  // namespace weft
