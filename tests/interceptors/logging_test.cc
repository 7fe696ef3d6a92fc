// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/context/context_scope.h>
#include <weft/interceptors/logging.h>
#include <weft/testing/manual_clock.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
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

// Peers may write ids in upper case, and fewer digits of a second's fraction.
TEST_F(LoggingOptionsTest, IdsLookAlikeWhoeverWroteThem) {
  const std::string trace = "20260102T0304051Z019B7A00-00AB-7000-8000-00000000000A";
  const std::string run = "20260102T030405000002Z019B7A00-00AB-7000-8000-00000000000B";
  Serve(Flavour::kSync, {}, {.middlewares = {Logging(Sink(client_))}});
  for (const std::string& order : {trace + "." + run, trace}) {
    const ContextScope scope(
        WithParent(Context(), TraceHeaders{.langsmith_trace = order}.Parse(), tracer_));
    Call();
  }
  Finish();
  const std::string id = "019b7a00-00ab-7000-8000-00000000000";
  EXPECT_THAT(client_, ElementsAre(HasSubstr(" trace_id=" + id + "a run_id=" + id + "b"),
                                   HasSubstr(" trace_id=" + id + "a run_id=" + id + "a")));
}

TEST_F(LoggingOptionsTest, TellsTimesToTheMicrosecond) {
  const auto clock = std::make_shared<weft::testing::ManualClock>();
  tracer_ = Tracer::Create({.exporters = {exporter_}, .clock = clock}).value();
  Serve(Flavour::kSync, {}, {.tracer = tracer_, .middlewares = {Logging(Sink(client_))}});
  const std::vector<std::pair<std::chrono::nanoseconds, std::string>> times = {
      {0ns, "0"},          {499ns, "0"},           {1us, "0.001"},   {1'500us, "1.5"},
      {10'020us, "10.02"}, {999'999us, "999.999"}, {3h, "10800000"}, {1'999'600ns, "2"}};
  for (const auto& time : times) {
    server_->progress().during_work = [&] { clock->Advance(time.first); };
    Call();
  }
  Finish();
  ASSERT_THAT(client_, SizeIs(times.size()));
  for (std::size_t i = 0; i < times.size(); ++i) {
    EXPECT_THAT(client_[i], EndsWith(" grpc.time_ms=" + times[i].second));
  }
}

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
