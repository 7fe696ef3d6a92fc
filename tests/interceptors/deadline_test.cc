// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <optional>

#include <gtest/gtest.h>

#include <weft/context/context_scope.h>
#include <weft/interceptors/deadline.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::system_clock;

class DeadlineTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  void Serve(DeadlineOptions options = {}) {
    EchoTest::Serve(GetParam(), {.middlewares = {Deadline(options)}}, {});
    server_->progress().during_work = [this] {
      ++handled_;
      seen_ = CurrentDeadline();
      grpc::ClientContext inner;
      SetDeadline(inner, {.timeout = 1h, .margin = 1s});
      inner_ = inner.deadline();
    };
  }
  grpc::Status Call(std::optional<Clock::time_point> deadline) {
    grpc::ClientContext context;
    if (deadline) context.set_deadline(*deadline);
    const grpc::Status status = CallSync(RpcKind::kUnary, channel_, context);
    server_->Shutdown();
    return status;
  }

  // Written by the handler; read when the server is down.
  int handled_ = 0;
  std::optional<Clock::time_point> seen_;
  Clock::time_point inner_;
};

TEST_P(DeadlineTest, CallsOfAHandlerEndBeforeTheCallThatItHandles) {
  Serve();
  const auto deadline = Clock::now() + 600s;
  ASSERT_TRUE(Call(deadline).ok());
  ASSERT_TRUE(seen_.has_value());
  EXPECT_LT(*seen_ - deadline, 60s);
  EXPECT_GT(*seen_ - deadline, -60s);
  EXPECT_LE(*seen_ - inner_, 1s + 1ms);
  EXPECT_GE(*seen_ - inner_, 1s - 1ms);
}

TEST_P(DeadlineTest, WithoutOneTheTimeoutAloneCounts) {
  Serve();
  ASSERT_TRUE(Call(std::nullopt).ok());
  EXPECT_EQ(handled_, 1);
  EXPECT_FALSE(seen_.has_value());
  EXPECT_GT(inner_, Clock::now() + 30min);
}

TEST_P(DeadlineTest, WorkThatCannotBeDoneInTimeIsNotBegun) {
  Serve({.least = 1h});
  const grpc::Status status = Call(Clock::now() + 600s);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(handled_, 0);
}

TEST_P(DeadlineTest, AContextThatOutlivesItsCallHasTheDeadline) {
  Serve();
  Context kept;
  server_->progress().during_work = [&kept] { kept = Context::Current(); };
  const auto deadline = Clock::now() + 600s;
  ASSERT_TRUE(Call(deadline).ok());
  server_.reset();
  const ContextScope scope(kept);
  ASSERT_TRUE(CurrentDeadline().has_value());
  EXPECT_LT(*CurrentDeadline() - deadline, 60s);
}

INSTANTIATE_TEST_SUITE_P(All, DeadlineTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

TEST(SetDeadlineTest, KeepsAnEarlierOneAndReplacesALaterOne) {
  const auto now = Clock::now();
  grpc::ClientContext early;
  early.set_deadline(now + 1s);
  SetDeadline(early, {.timeout = 1h});
  EXPECT_LE(early.deadline(), now + 2s);
  grpc::ClientContext late;
  late.set_deadline(now + 24h);
  SetDeadline(late, {.timeout = 1h});
  EXPECT_LT(late.deadline(), now + 2h);
  EXPECT_FALSE(CurrentDeadline().has_value());
}

TEST(SetDeadlineTest, LeavesAContextWithoutAnyAsItIs) {
  grpc::ClientContext context;
  const auto before = context.deadline();
  SetDeadline(context);
  EXPECT_EQ(context.deadline(), before);
}

}  // namespace
}  // namespace weft::echo_test
