// SPDX-License-Identifier: Apache-2.0
#include <weft/async/fiber_server.h>

#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/call.h>
#include <weft/async/stream.h>
#include <weft/context/async.h>

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

Message Text(const std::string& text) {
  Message message;
  message.set_text(text);
  return message;
}

class FiberServerTest : public ::testing::Test {
 protected:
  // Handlers of streams that give back what they get; a test may take others first.
  template <typename Unary>
  void Start(FiberServerOptions options, Unary unary) {
    grpc::ServerBuilder builder;
    int port = 0;  // in process, Shutdown ends the calls that run
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = std::make_unique<FiberServer>(options);
    server_->Handle(&service_, &Service::RequestUnary, std::move(unary));
    server_->Handle(&service_, &Service::RequestClientStream, Join);
    server_->Handle(&service_, &Service::RequestServerStream, Split);
    server_->Handle(&service_, &Service::RequestBidi, Talk);
    const absl::Status started = server_->Start(builder);
    ASSERT_TRUE(started.ok()) << started;
    stub_ = Echo::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                              grpc::InsecureChannelCredentials()));
  }

  std::jthread CallInBackground(const std::string& text, grpc::Status* status) {
    return std::jthread([this, text, status] {
      *status = CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text(text), Soon()).status;
    });
  }

  static grpc::Status Join(grpc::ServerContext*, RequestReader<Message>& requests,
                           Message* response) {
    for (Message request; requests.Read(&request);) {
      response->set_text(response->text() + request.text());
    }
    if (response->text() == "fail") return {grpc::StatusCode::NOT_FOUND, "nothing here"};
    return grpc::Status::OK;
  }
  static grpc::Status Split(grpc::ServerContext*, const Message* request,
                            ResponseWriter<Message>& responses) {
    for (const char c : request->text()) responses.Write(Text({c}));
    return grpc::Status::OK;
  }
  static grpc::Status Talk(grpc::ServerContext*, RequestResponseStream<Message, Message>& stream) {
    for (Message message; stream.Read(&message);) stream.Write(message);
    return grpc::Status::OK;
  }

  Service service_;
  std::unique_ptr<FiberServer> server_;
  std::unique_ptr<Stub> stub_;
};

grpc::Status Exclaim(grpc::ServerContext*, const Message* request, Message* response) {
  if (request->text() == "fail") return {grpc::StatusCode::NOT_FOUND, "nothing here"};
  if (request->text() == "throw") throw std::runtime_error("no model");
  response->set_text(request->text() + "!");
  return grpc::Status::OK;
}

TEST_F(FiberServerTest, HandlesAllFourKinds) {
  Start({}, Exclaim);
  EXPECT_EQ(CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text("hello")).response.text(), "hello!");

  auto upload = OpenStream(*stub_, &Stub::PrepareAsyncClientStream);
  EXPECT_TRUE(upload.Write(Text("a")) && upload.Write(Text("b")));
  EXPECT_EQ(upload.Finish().response.text(), "ab");

  auto download = OpenStream(*stub_, &Stub::PrepareAsyncServerStream, Text("xyz"));
  std::string all;
  for (Message message; download.Read(&message);) all += message.text();
  EXPECT_EQ(all, "xyz");
  EXPECT_TRUE(download.Finish().ok());

  auto talk = OpenStream(*stub_, &Stub::PrepareAsyncBidi);
  Message message;
  EXPECT_TRUE(talk.Write(Text("q")) && talk.Read(&message) && talk.WritesDone());
  EXPECT_EQ(message.text(), "q");
  EXPECT_FALSE(talk.Read(&message));
  EXPECT_TRUE(talk.Finish().ok());
}

TEST_F(FiberServerTest, SendsTheStatusOfTheHandlerAndInternalForAnException) {
  Start({}, Exclaim);
  const auto failed = CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text("fail"));
  EXPECT_EQ(failed.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(failed.status.error_message(), "nothing here");
  const auto threw = CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text("throw"));
  EXPECT_EQ(threw.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(threw.status.error_message(), "Unexpected error in RPC handling");
  auto upload = OpenStream(*stub_, &Stub::PrepareAsyncClientStream);
  EXPECT_TRUE(upload.Write(Text("fail")));
  EXPECT_EQ(upload.Finish().status.error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(FiberServerTest, AHandlerCallsTwoOthersAtOnce) {
  std::atomic<int> met = 0;
  std::atomic<Stub*> stub = nullptr;
  Start({.threads = 1}, [&](grpc::ServerContext*, const Message* request, Message* response) {
    if (request->text() != "both") {
      ++met;
      while (met < 2) boost::this_fiber::yield();  // for ever, if they come one after the other
      response->set_text(request->text());
      return grpc::Status::OK;
    }
    const auto ask = [&](const char* text) {
      return CallUnary(*stub.load(), &Stub::PrepareAsyncUnary, Text(text), Soon()).response.text();
    };
    auto left = Async(ask, "left ");
    auto right = Async(ask, "right");
    response->set_text(left.get() + right.get());
    return grpc::Status::OK;
  });
  stub = stub_.get();
  const auto result = CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text("both"), Soon());
  EXPECT_EQ(result.response.text(), "left right") << result.status.error_message();
}

TEST_F(FiberServerTest, ManyCallsWaitOnFewThreads) {
  constexpr int kCalls = 200;
  std::atomic<int> arrived = 0;
  Start({.threads = 2}, [&](grpc::ServerContext*, const Message*, Message*) {
    ++arrived;
    while (arrived < kCalls) boost::this_fiber::yield();
    return grpc::Status::OK;
  });
  struct Pending {
    grpc::ClientContext context;
    Message response;
    std::promise<grpc::Status> status;
  };
  std::vector<Pending> calls(kCalls);
  const Message request;
  for (Pending& call : calls) {
    call.context.set_deadline(Soon());
    stub_->async()->Unary(&call.context, &request, &call.response, [&call](grpc::Status status) {
      call.status.set_value(std::move(status));
    });
  }
  for (Pending& call : calls) EXPECT_TRUE(call.status.get_future().get().ok());
}

TEST_F(FiberServerTest, NoMoreHandlersRunThanAllowed) {
  constexpr int kCalls = 30;
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  Start({.threads = 1, .max_concurrent_calls = 3, .requested_calls = 2},
        [&](grpc::ServerContext*, const Message*, Message*) {
          most = std::max<int>(most, ++running);
          for (int i = 0; i < 20; ++i) boost::this_fiber::yield();
          --running;
          return grpc::Status::OK;
        });
  std::vector<grpc::Status> statuses(kCalls);
  {
    std::vector<std::jthread> callers;
    for (grpc::Status& status : statuses) callers.push_back(CallInBackground("x", &status));
  }
  for (const grpc::Status& status : statuses) EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_LE(most, 3);
}

TEST_F(FiberServerTest, AHandlerSeesThatItsCallerHasGone) {
  std::promise<void> arrived;
  std::promise<void> seen;
  Start({}, [&](grpc::ServerContext* context, const Message*, Message*) {
    arrived.set_value();
    while (!context->IsCancelled()) boost::this_fiber::yield();
    seen.set_value();
    return grpc::Status::OK;
  });
  grpc::ClientContext context;
  context.set_deadline(Soon());
  std::jthread canceller([&] {
    arrived.get_future().wait();
    context.TryCancel();
  });
  const auto result = CallUnary(*stub_, &Stub::PrepareAsyncUnary, Text("x"), context);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(seen.get_future().wait_until(Soon()), std::future_status::ready);
}

TEST_F(FiberServerTest, ShutdownLetsRunningCallsFinish) {
  std::promise<void> arrived;
  fibers::promise<void> release;
  auto released = release.get_future().share();
  Start({}, [&](grpc::ServerContext*, const Message*, Message*) {
    arrived.set_value();
    released.wait();
    return grpc::Status::OK;
  });
  grpc::Status status(grpc::StatusCode::UNKNOWN, "not finished");
  std::jthread caller = CallInBackground("x", &status);
  arrived.get_future().wait();
  std::jthread shutdown([&] { server_->Shutdown(Soon()); });
  release.set_value();
  shutdown.join();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(FiberServerTest, ShutdownCancelsWhatDoesNotFinishInTime) {
  std::promise<void> arrived;
  Start({}, [&](grpc::ServerContext* context, const Message*, Message*) {
    arrived.set_value();
    while (!context->IsCancelled()) boost::this_fiber::yield();
    return grpc::Status::OK;
  });
  grpc::Status status;
  std::jthread caller = CallInBackground("x", &status);
  arrived.get_future().wait();
  server_->Shutdown(std::chrono::system_clock::now());
  caller.join();
  EXPECT_FALSE(status.ok());
  server_->Shutdown(Soon());  // nothing is left to do
}

TEST_F(FiberServerTest, ShutdownEndsWhileCallsAreHeldBackByTheLimit) {
  std::atomic<int> arrived = 0;
  fibers::promise<void> release;
  auto released = release.get_future().share();
  Start({.threads = 1, .max_concurrent_calls = 1, .requested_calls = 1},
        [&](grpc::ServerContext*, const Message*, Message*) {
          ++arrived;
          released.wait();
          return grpc::Status::OK;
        });
  std::vector<grpc::Status> statuses(5);
  std::vector<std::jthread> callers;
  for (grpc::Status& status : statuses) callers.push_back(CallInBackground("x", &status));
  while (arrived == 0) std::this_thread::yield();
  std::jthread shutdown([&] { server_->Shutdown(Soon()); });
  release.set_value();
  shutdown.join();
  callers.clear();
  EXPECT_GE(std::count_if(statuses.begin(), statuses.end(), [](auto& s) { return s.ok(); }), 1);
}

TEST_F(FiberServerTest, TheOptionsAreCheckedAndNamed) {
  const auto start = [this](FiberServerOptions options) {
    grpc::ServerBuilder builder;
    FiberServer server(options);
    server.Handle(&service_, &Service::RequestUnary, Exclaim);
    return std::string(server.Start(builder).message());
  };
  EXPECT_EQ(start({.threads = 0}), "FiberServerOptions::threads is 0, must be at least 1");
  EXPECT_EQ(start({.threads = 4, .max_concurrent_calls = 3}),
            "FiberServerOptions::max_concurrent_calls is 3, must be at least 4");
  EXPECT_EQ(start({.stack_bytes = 100}),
            "FiberServerOptions::stack_bytes is 100, must be at least 16384");
  grpc::ServerBuilder builder;
  EXPECT_FALSE(FiberServer().Start(builder).ok());
}

TEST_F(FiberServerTest, AnAddressInUseIsToldAndNothingHangs) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:/nonexistent/socket", grpc::InsecureServerCredentials());
  builder.RegisterService(&service_);
  FiberServer server;
  server.Handle(&service_, &Service::RequestUnary, Exclaim);
  EXPECT_TRUE(absl::IsUnavailable(server.Start(builder)));
}

}  // namespace
}  // namespace weft
