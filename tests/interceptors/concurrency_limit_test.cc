// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include <weft/interceptors/concurrency.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

class ConcurrencyLimitTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  grpc::StatusCode Call(const char* behaviour, grpc::ClientContext& context) {
    context.AddMetadata(kBehaviour, behaviour);
    return CallSync(RpcKind::kUnary, channel_, context).error_code();
  }
};

TEST_P(ConcurrencyLimitTest, RejectsWhatIsBeyondTheLimitUntilACallEnds) {
  const auto limit = Concurrency({.limit = 1});
  Serve(GetParam(), {.tracer = tracer_, .middlewares = {limit}}, {}, /*workers=*/2);
  std::atomic<int> handled{0};
  server_->progress().during_work = [&handled] { ++handled; };
  grpc::ClientContext first;
  std::thread waiting([&] { EXPECT_EQ(Call(kWait, first), grpc::StatusCode::CANCELLED); });
  EXPECT_TRUE(server_->progress().WaitForHandler());
  grpc::ClientContext second;
  EXPECT_EQ(Call(kOk, second), grpc::StatusCode::RESOURCE_EXHAUSTED);
  first.TryCancel();
  waiting.join();
  EXPECT_EQ(handled, 1);
  // A server that is down has ended its calls.
  server_->Shutdown();
  Serve(GetParam(), {.tracer = tracer_, .middlewares = {limit}}, {}, /*workers=*/2);
  grpc::ClientContext third;
  EXPECT_EQ(Call(kOk, third), grpc::StatusCode::OK);
}

INSTANTIATE_TEST_SUITE_P(All, ConcurrencyLimitTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

TEST(ConcurrencyLimitZeroTest, LetsNothingThrough) {
  EchoServer server(Flavour::kSync, {.middlewares = {Concurrency({})}});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  EXPECT_EQ(CallSync(RpcKind::kUnary, channel, context).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace weft::echo_test
