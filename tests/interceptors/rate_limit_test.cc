// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/rate_limit.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

// So slow that no token comes back during a test.
constexpr double kSlow = 1e-4;
constexpr auto kLimited = grpc::StatusCode::RESOURCE_EXHAUSTED;
constexpr auto kFine = grpc::StatusCode::OK;

class RateLimitTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  void Serve(std::vector<ChainLink> middlewares) {
    EchoTest::Serve(GetParam(), {.tracer = tracer_, .middlewares = std::move(middlewares)}, {});
    server_->progress().during_work = [this] { ++handled_; };
  }
  grpc::StatusCode Call(RpcKind kind = RpcKind::kUnary, const std::string& key = "none") {
    grpc::ClientContext context;
    context.AddMetadata("x-api-key", key);
    const grpc::Status status = CallSync(kind, channel_, context);
    const auto trailer = context.GetServerTrailingMetadata().find("retry-after");
    retry_after_ = trailer == context.GetServerTrailingMetadata().end()
                       ? std::string()
                       : std::string(trailer->second.data(), trailer->second.size());
    return status.error_code();
  }

  std::atomic<int> handled_{0};
  std::string retry_after_;
};

TEST_P(RateLimitTest, RejectsWhatIsBeyondTheBurstAndSaysWhenToComeBack) {
  Serve({RateLimit({.per_second = kSlow, .burst = 2})});
  EXPECT_EQ(Call(), kFine);
  EXPECT_EQ(Call(RpcKind::kBidiStream), kFine);
  EXPECT_EQ(retry_after_, "");
  EXPECT_EQ(Call(), kLimited);
  const long seconds = std::strtol(retry_after_.c_str(), nullptr, 10);
  EXPECT_GT(seconds, 9000);
  EXPECT_LE(seconds, 10000);
  EXPECT_EQ(Call(RpcKind::kBidiStream), kLimited);
  server_->Shutdown();
  EXPECT_EQ(handled_, 2);
}

TEST_P(RateLimitTest, CountsMethodsApart) {
  Serve({RateLimit({.per_second = kSlow, .key = RateLimitKey::kMethod})});
  EXPECT_EQ(Call(RpcKind::kUnary), kFine);
  EXPECT_EQ(Call(RpcKind::kServerStream), kFine);
  EXPECT_EQ(Call(RpcKind::kUnary), kLimited);
  EXPECT_EQ(Call(RpcKind::kServerStream), kLimited);
}

TEST_P(RateLimitTest, CountsIdentitiesApartAndForgetsTheOldest) {
  Serve({Auth(ApiKey({{"a", {.name = "A"}}, {"b", {.name = "B"}}, {"c", {.name = "C"}}})),
         RateLimit({.per_second = kSlow, .key = RateLimitKey::kIdentity, .max_keys = 2})});
  EXPECT_EQ(Call(RpcKind::kUnary, "a"), kFine);
  EXPECT_EQ(Call(RpcKind::kUnary, "b"), kFine);
  EXPECT_EQ(Call(RpcKind::kUnary, "a"), kLimited);
  EXPECT_EQ(Call(RpcKind::kUnary, "c"), kFine);  // forgets B, who called before A did
  EXPECT_EQ(Call(RpcKind::kUnary, "a"), kLimited);
  EXPECT_EQ(Call(RpcKind::kUnary, "b"), kFine);
  EXPECT_EQ(Call(RpcKind::kUnary, "x"), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_P(RateLimitTest, TakesAnotherPortForTheSamePeer) {
  Serve({RateLimit({.per_second = kSlow, .key = RateLimitKey::kPeer})});
  EXPECT_EQ(Call(), kFine);
  grpc::ChannelArguments own_connection;
  own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ =
      CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), {}, own_connection);
  EXPECT_EQ(Call(), kLimited);
}

TEST_P(RateLimitTest, LetsThroughWhatTheRateAllowsAndNothingAtZero) {
  Serve({{RateLimit({.per_second = 1e9}), "/echo.Echo/Unary"},
         {RateLimit({.per_second = 0}), "/echo.Echo/Bidi"}});
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Call(), kFine);
  EXPECT_EQ(Call(RpcKind::kBidiStream), kLimited);
}

INSTANTIATE_TEST_SUITE_P(All, RateLimitTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

TEST(RateLimitMethodTest, InventedNamesAreNoWayAroundTheLimit) {
  EchoServer server(
      Flavour::kGenericCallback,
      {.middlewares = {RateLimit({.per_second = kSlow, .key = RateLimitKey::kMethod})}});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  const auto call = [&](const std::string& method) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, kOk);
    return CallMethod(method, channel, context).error_code();
  };
  EXPECT_EQ(call("/made.Up/A"), kFine);
  EXPECT_EQ(call("/made.Up/B"), kLimited);
}

}  // namespace
}  // namespace weft::echo_test
