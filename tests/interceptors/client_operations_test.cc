// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/create_channel.h>

#include "echo_rpc.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::ElementsAre;

class Watcher final : public Middleware {
 public:
  void OnReceiveMetadata(Call& /*call*/, const MetadataView& /*view*/) noexcept override {
    ++replies;
  }
  void OnEnd(Call& /*call*/, const CallReport& report) noexcept override {
    ends.push_back(report.status.error_code());
    received = report.messages_received;
    sent = report.messages_sent;
  }
  int replies = 0;
  std::vector<grpc::StatusCode> ends;
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
};

/// Calls on a completion queue, which end without another pass through it for our sake.
class ClientOperations : public EchoTest {
 protected:
  ClientOperations() { context_.AddMetadata(kBehaviour, kOk); }

  void ServeWatched() { Serve(Flavour::kSync, {}, {.tracer = tracer_, .middlewares = {watcher_}}); }
  auto Start() { return echo::Echo::NewStub(channel_)->AsyncUnary(&context_, {}, &queue_); }
  /// The next tag; null when the queue has none left.
  void* Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok ? tag : nullptr;
  }

  std::shared_ptr<Watcher> watcher_ = std::make_shared<Watcher>();
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  echo::Message reply_;
  grpc::Status status_;
};

TEST_F(ClientOperations, AUnaryCallHasEndedBeforeItsCallerHears) {
  ServeWatched();
  const auto call = Start();
  call->Finish(&reply_, &status_, this);
  EXPECT_EQ(Next(), this);
  EXPECT_TRUE(status_.ok());
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::OK));
  EXPECT_EQ(watcher_->replies, 1);
  EXPECT_EQ(watcher_->sent, 1U);
  EXPECT_EQ(watcher_->received, 1U);
}

TEST_F(ClientOperations, TheInitialMetadataMayComeFirst) {
  ServeWatched();
  const auto call = Start();
  int first = 0;
  call->ReadInitialMetadata(&first);
  EXPECT_EQ(Next(), &first);
  EXPECT_EQ(watcher_->replies, 1);
  EXPECT_TRUE(watcher_->ends.empty());
  call->Finish(&reply_, &status_, this);
  EXPECT_EQ(Next(), this);
  EXPECT_TRUE(status_.ok());
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::OK));
  EXPECT_EQ(watcher_->replies, 1);
}

TEST_F(ClientOperations, AQueueMayBeShutDownMeanwhile) {
  ServeWatched();
  const auto call = Start();
  call->Finish(&reply_, &status_, this);
  queue_.Shutdown();
  EXPECT_EQ(Next(), this);
  EXPECT_TRUE(status_.ok());
  EXPECT_EQ(Next(), nullptr);
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::OK));
}

/// Lets each call wait for a moment.
class Pause final : public Middleware {
 public:
  Verdict AdmitSending(Call& call, const MetadataWriter& /*metadata*/) noexcept override {
    call.Hold(std::chrono::system_clock::now() + std::chrono::milliseconds(20), {});
    return {};
  }
};

TEST_F(ClientOperations, AQueueMayBeShutDownWhileACallIsHeld) {
  Serve(Flavour::kSync, {},
        {.tracer = tracer_, .middlewares = {std::make_shared<Pause>(), watcher_}});
  const auto call = Start();
  call->Finish(&reply_, &status_, this);
  queue_.Shutdown();
  EXPECT_EQ(Next(), this);
  EXPECT_TRUE(status_.ok());
  EXPECT_EQ(Next(), nullptr);
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::OK));
}

TEST_F(ClientOperations, ACancelledCallEndsSo) {
  ServeWatched();
  const auto call = Start();
  context_.TryCancel();
  call->Finish(&reply_, &status_, this);
  EXPECT_EQ(Next(), this);
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::CANCELLED));
}

/// An interceptor that an application has besides.
class CountsEnds final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit CountsEnds(std::atomic<int>& ends) : ends_(ends) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* /*info*/) override {
    return new Counter(ends_);
  }

 private:
  struct Counter final : grpc::experimental::Interceptor {
    explicit Counter(std::atomic<int>& count) : ends(count) {}
    void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
      using Hook = grpc::experimental::InterceptionHookPoints;
      if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_STATUS)) ++ends;
      batch->Proceed();
    }
    std::atomic<int>& ends;
  };
  std::atomic<int>& ends_;
};

TEST_F(ClientOperations, OtherInterceptorsSeeTheEndToo) {
  ServeWatched();
  std::atomic<int> ends = 0;
  auto factories = ClientInterceptors({.tracer = tracer_, .middlewares = {watcher_}}, "echo");
  factories.push_back(std::make_unique<CountsEnds>(ends));
  channel_ = grpc::experimental::CreateCustomChannelWithInterceptors(
      server_->address(), grpc::InsecureChannelCredentials(), {}, std::move(factories));
  const auto call = Start();
  call->Finish(&reply_, &status_, this);
  EXPECT_EQ(Next(), this);
  EXPECT_TRUE(status_.ok());
  EXPECT_EQ(ends, 1);
  EXPECT_THAT(watcher_->ends, ElementsAre(grpc::StatusCode::OK));
}

}  // namespace
}  // namespace weft::echo_test
