// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/logging.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class LoggingTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  LogSink Sink(std::vector<std::string>& lines) {
    return [this, &lines](LogLevel level, std::string_view line) {
      const std::lock_guard lock(mutex_);
      EXPECT_THAT(std::string(line), HasSubstr("level=" + std::string(LogLevelName(level)) + " "));
      lines.emplace_back(line);
    };
  }
  void Call(const char* behaviour = kOk) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    CallSync(RpcKind::kUnary, channel_, context);
  }
  void Finish() {
    channel_.reset();
    server_->Shutdown();
  }

  std::mutex mutex_;
  std::vector<std::string> client_;
  std::vector<std::string> server_lines_;
};

TEST_P(LoggingTest, WritesALineForEachCallOnBothSides) {
  Serve(GetParam(), {.tracer = tracer_, .middlewares = {Logging(Sink(server_lines_))}},
        {.tracer = tracer_, .middlewares = {Logging(Sink(client_))}});
  std::string trace;
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    trace = caller.context().trace_id().ToString();
    Call();
    Call(kError);
  }
  Finish();
  const std::string fields =
      " grpc.service=echo.Echo grpc.method=Unary grpc.method_type=unary grpc.code=";
  const std::string ids = " grpc.time_ms=[0-9.e-]+ trace_id=" + trace + " run_id=[0-9a-f-]+";
  EXPECT_THAT(client_,
              ElementsAre(MatchesRegex("level=info grpc.component=client" + fields + "OK" + ids),
                          MatchesRegex("level=warning grpc.component=client" + fields +
                                       "FAILED_PRECONDITION" + ids + " grpc.error=\"not now\"")));
  // A server may end a call after its client has made the next one.
  EXPECT_THAT(
      server_lines_,
      UnorderedElementsAre(MatchesRegex("level=info grpc.component=server" + fields + "OK" + ids),
                           MatchesRegex("level=warning grpc.component=server" + fields +
                                        "FAILED_PRECONDITION" + ids + " grpc.error=\"not now\"")));
}

INSTANTIATE_TEST_SUITE_P(All, LoggingTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

using LoggingOptionsTest = LoggingTest;

TEST_F(LoggingOptionsTest, NobodyForgesALine) {
  auto liar = std::make_shared<Hooks>();
  liar->on_status = [](weft::Call&, grpc::Status& status) {
    status = grpc::Status(grpc::StatusCode::NOT_FOUND,
                          "a\nlevel=info \"x\"\\ \x1b[31m\xc3\xa9" + std::string(600, 'y'));
  };
  Serve(Flavour::kSync, {}, {.middlewares = {Logging(Sink(client_)), liar}});
  Call();
  Finish();
  ASSERT_THAT(client_, SizeIs(1));
  EXPECT_THAT(client_[0],
              AllOf(HasSubstr("\"a\\x0alevel=info \\\"x\\\"\\\\ \\x1b[31m\\xc3\\xa9yyy"),
                    HasSubstr("y\"")));
  EXPECT_LT(client_[0].size(), 800u);
}

TEST_F(LoggingOptionsTest, SamplesCallsThatEndWellAndNoOthers) {
  Serve(Flavour::kSync, {}, {.middlewares = {Logging(Sink(client_), {.one_of = 3})}});
  for (int i = 0; i < 6; ++i) Call();
  for (int i = 0; i < 2; ++i) Call(kError);
  Finish();
  EXPECT_THAT(client_, SizeIs(4));
}

TEST_F(LoggingOptionsTest, LeavesOutWhatIsBelowTheLeastLevel) {
  Serve(Flavour::kSync, {},
        {.middlewares = {Logging(Sink(client_), {.least = LogLevel::kWarning})}});
  Call();
  Call(kError);
  Finish();
  EXPECT_THAT(client_, ElementsAre(HasSubstr("FAILED_PRECONDITION")));
}

TEST(LoggingSinkTest, OneThatThrowsFailsNoCall) {
  const auto logging =
      Logging([](LogLevel, std::string_view) { throw std::runtime_error("full"); });
  EXPECT_EQ(Logging(nullptr), nullptr);
  const std::uint64_t before = GetInterceptorStats().hook_failures;
  EchoServer server(Flavour::kSync, {.middlewares = {logging}});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel, context).ok());
  server.Shutdown();
  EXPECT_EQ(GetInterceptorStats().hook_failures, before + 1);
}

}  // namespace
}  // namespace weft::echo_test
