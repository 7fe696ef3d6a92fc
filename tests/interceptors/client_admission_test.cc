// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/concurrency.h>
#include <weft/interceptors/rate_limit.h>
#include <weft/testing/run_matchers.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using namespace std::chrono_literals;
using ::testing::MatchesRegex;
using weft::testing::HasMetadata;

constexpr auto kFine = grpc::StatusCode::OK;
constexpr auto kTooMany = grpc::StatusCode::RESOURCE_EXHAUSTED;

/// Waits until as many calls as wanted have come to their admission.
class Arrivals : public Middleware {
 public:
  Verdict AdmitSending(Call& /*call*/, const MetadataWriter& /*metadata*/) noexcept override {
    const std::lock_guard lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    return {};
  }
  bool WaitFor(int calls) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return arrived_ >= calls; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
};

class ClientAdmissionTest : public EchoTest,
                            public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {
 protected:
  void Serve(std::vector<ChainLink> client) {
    EchoTest::Serve(Flavour::kCallback, {.tracer = tracer_},
                    {.tracer = tracer_, .middlewares = std::move(client)});
  }
  grpc::Status Call(grpc::ClientContext& context, const char* behaviour = kOk) {
    context.AddMetadata(kBehaviour, behaviour);
    const auto [api, kind] = GetParam();
    return CallEcho(api, kind, channel_, context);
  }
  grpc::StatusCode Call(const char* behaviour = kOk) {
    grpc::ClientContext context;
    return Call(context, behaviour).error_code();
  }
  int Handled() { return server_->progress().handled; }
};

TEST_P(ClientAdmissionTest, WhatIsRejectedEndsWithTheVerdictAndIsNotSent) {
  Serve({RateLimit({.per_second = 1e-4, .burst = 1})});
  EXPECT_EQ(Call(), kFine);
  grpc::ClientContext context;
  const grpc::Status status = Call(context);
  EXPECT_EQ(status.error_code(), kTooMany);
  EXPECT_THAT(status.error_message(), MatchesRegex("too many calls; retry after [0-9]+ s"));
  EXPECT_EQ(context.GetServerTrailingMetadata().count("retry-after"), 1u);
  EXPECT_EQ(Handled(), 1);
  channel_.reset();
  server_->Shutdown();
  const auto tree = exporter_->Tree();
  int rejected = 0;
  for (const auto& root : tree.Roots()) {
    if (!root->AllMetadata().contains("weft.rejected_by")) continue;
    ++rejected;
    EXPECT_THAT(root, HasMetadata("weft.rejected_by", "rate_limit"));
    EXPECT_TRUE(root->error.has_value());
    EXPECT_TRUE(root.Children().empty());
  }
  EXPECT_EQ(rejected, 1);
}

TEST_P(ClientAdmissionTest, WhatWaitsIsSentWhenAnotherCallEnds) {
  const auto arrivals = std::make_shared<Arrivals>();
  Serve({arrivals, Concurrency({.limit = 1, .max_wait = 1h})});
  grpc::ClientContext first;
  std::thread one([&] { EXPECT_EQ(Call(first, kWait).error_code(), grpc::CANCELLED); });
  EXPECT_TRUE(server_->progress().WaitForHandler());
  std::thread two([&] { EXPECT_EQ(Call(), kFine); });
  EXPECT_TRUE(arrivals->WaitFor(2));
  EXPECT_EQ(Handled(), 1);
  first.TryCancel();
  one.join();
  two.join();
  EXPECT_EQ(Handled(), 2);
  EXPECT_EQ(Call(), kFine);
}

TEST_P(ClientAdmissionTest, WhatHasWaitedTooLongIsNotSent) {
  Serve({Concurrency({.limit = 0, .max_wait = 1ms}), Concurrency({.limit = 0})});
  EXPECT_EQ(Call(), kTooMany);
  EXPECT_EQ(Handled(), 0);
}

TEST_P(ClientAdmissionTest, AWaitEndsWithTheCallsDeadline) {
  Serve({Concurrency({.limit = 0, .max_wait = 1h})});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 20ms);
  EXPECT_EQ(Call(context).error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(Handled(), 0);
}

TEST_P(ClientAdmissionTest, AWaitEndsWithACancellation) {
  const auto arrivals = std::make_shared<Arrivals>();
  Serve({arrivals, Concurrency({.limit = 0, .max_wait = 1h})});
  grpc::ClientContext context;
  std::thread waiting([&] { EXPECT_EQ(Call(context).error_code(), grpc::CANCELLED); });
  EXPECT_TRUE(arrivals->WaitFor(1));
  context.TryCancel();
  waiting.join();
  grpc::ClientContext cancelled_before;
  cancelled_before.TryCancel();
  EXPECT_EQ(Call(cancelled_before).error_code(), grpc::CANCELLED);
  EXPECT_EQ(Handled(), 0);
}

TEST_P(ClientAdmissionTest, EachOfSeveralMayMakeItWait) {
  Serve({Concurrency({.limit = 1, .max_wait = 1h}), Concurrency({.limit = 1, .max_wait = 1h})});
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) threads.emplace_back([&] { EXPECT_EQ(Call(), kFine); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Handled(), 6);
}

INSTANTIATE_TEST_SUITE_P(
    All, ClientAdmissionTest,
    ::testing::Combine(::testing::Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                       ::testing::Values(RpcKind::kUnary, RpcKind::kClientStream,
                                         RpcKind::kServerStream, RpcKind::kBidiStream)),
    [](const auto& test) {
      return ::testing::PrintToString(std::get<0>(test.param)) + "_" +
             std::string(RpcKindName(std::get<1>(test.param)));
    });
INSTANTIATE_TEST_SUITE_P(Generic, ClientAdmissionTest,
                         ::testing::Values(std::tuple(ClientApi::kGenericCq, RpcKind::kUnary)));

/// Counts the calls that came this far and have not ended.
class UnderWay : public Middleware {
 public:
  CallStateType call_state() const noexcept override { return CallStateType::Of<bool>(); }
  Verdict AdmitSending(Call& call, const MetadataWriter& /*metadata*/) noexcept override {
    call.state<bool>() = true;
    const int here = ++now_;
    int seen = most;
    while (here > seen && !most.compare_exchange_weak(seen, here)) {
    }
    return {};
  }
  void OnEnd(Call& call, const CallReport& /*report*/) noexcept override {
    if (call.state<bool>()) --now_;
  }

  std::atomic<int> most{0};

 private:
  std::atomic<int> now_{0};
};

class ClientConcurrencyTest : public EchoTest {
 protected:
  void Serve(std::vector<ChainLink> client) {
    EchoTest::Serve(Flavour::kCallback, {}, {.middlewares = std::move(client)}, 1, true);
  }
  /// From eight threads, by all APIs and of all kinds; calls `meanwhile` during each.
  void CallManyTimes(const std::function<std::thread(int i, grpc::ClientContext&)>& meanwhile) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 40; ++i) {
          grpc::ClientContext context;
          std::thread other = meanwhile(i, context);
          const grpc::Status status = CallEcho(static_cast<ClientApi>((t + i) % 3),
                                               static_cast<RpcKind>(i % 4), channel_, context);
          EXPECT_TRUE(status.ok() || other.joinable()) << status.error_message();
          if (other.joinable()) other.join();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(ClientConcurrencyTest, NoMoreThanTheLimitAreUnderWay) {
  const auto under_way = std::make_shared<UnderWay>();
  Serve({Concurrency({.limit = 2, .max_wait = 1h}), under_way});
  CallManyTimes([](int, grpc::ClientContext&) { return std::thread(); });
  EXPECT_EQ(server_->progress().handled, 8 * 40);
  EXPECT_GE(under_way->most, 1);
  EXPECT_LE(under_way->most, 2);
}

TEST_F(ClientConcurrencyTest, CancelledCallsLeaveTheLimitAsItIs) {
  Serve({Concurrency({.limit = 1, .max_wait = 1h}), Concurrency({.limit = 1})});
  CallManyTimes([](int i, grpc::ClientContext& context) {
    return i % 3 != 0 ? std::thread() : std::thread([&context] { context.TryCancel(); });
  });
  for (int i = 0; i < 3; ++i) {
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  }
}

TEST_F(ClientConcurrencyTest, MoreThanMayWaitAreRejectedAtOnce) {
  Serve({Concurrency({.limit = 0, .max_wait = 1h, .max_waiting = 1})});
  const auto stub = ::echo::Echo::NewStub(channel_);
  grpc::ClientContext first;
  ::echo::Message message;
  std::promise<grpc::Status> ended;
  stub->async()->Unary(&first, &message, &message,
                       [&](const grpc::Status& status) { ended.set_value(status); });
  grpc::ClientContext second;
  EXPECT_EQ(CallSync(RpcKind::kUnary, channel_, second).error_code(), kTooMany);
  first.TryCancel();
  EXPECT_EQ(ended.get_future().get().error_code(), grpc::CANCELLED);
}

TEST_F(ClientConcurrencyTest, WorksWithinAProcess) {
  Serve({});
  const auto limit = Concurrency({.limit = 0, .max_wait = 1ms});
  channel_ = CreateInProcessChannel(server_->server(), {.middlewares = {limit}});
  grpc::ClientContext context;
  EXPECT_EQ(CallSync(RpcKind::kBidiStream, channel_, context).error_code(), kTooMany);
  EXPECT_EQ(server_->progress().handled, 0);
}

}  // namespace
}  // namespace weft::echo_test
