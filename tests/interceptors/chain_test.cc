// SPDX-License-Identifier: Apache-2.0
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;
using weft::testing::RunTree;

class Journal {
 public:
  void Note(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// Notes what it sees on one side; counts messages in the call's own memory.
class Witness : public Middleware {
 public:
  Witness(std::string name, CallSide side, Journal& journal)
      : name_(std::move(name)), side_(side), journal_(journal) {}

  CallStateType call_state() const noexcept override { return CallStateType::Of<State>(); }
  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    return std::make_shared<std::string>(name_ + " " + std::string(method.method));
  }
  void OnStart(Call& call) noexcept override { Note(call, "start"); }
  void OnSendMetadata(Call& call, MetadataWriter&) noexcept override { Note(call, "send"); }
  void OnReceiveMetadata(Call& call, const MetadataView&) noexcept override {
    Note(call, "receive");
  }
  void OnMessage(Call& call, const MessageView&) noexcept override {
    ++call.state<State>().messages;
  }
  void OnStatus(Call& call, grpc::Status&) noexcept override { Note(call, "status"); }
  void OnEnd(Call& call, const CallReport& report) noexcept override {
    EXPECT_EQ(report.messages_sent + report.messages_received, call.state<State>().messages);
    EXPECT_EQ(call.method().full_method, "/echo.Echo/Unary");
    EXPECT_EQ(call.method().service, "echo.Echo");
    Note(call, "end " + std::to_string(call.state<State>().messages));
  }

 private:
  struct State {
    std::string text = "a state with a destructor, too long to be kept in place";
    std::uint64_t messages = 0;
  };
  void Note(Call& call, const std::string& what) {
    if (call.side() == side_) journal_.Note(call.method_state<std::string>() + " " + what);
  }

  std::string name_;
  CallSide side_;
  Journal& journal_;
};

class Chain : public EchoTest {
 protected:
  grpc::Status CallUnary() {
    grpc::ClientContext context;
    return CallSync(RpcKind::kUnary, channel_, context);
  }
  Journal journal_;
};

TEST_F(Chain, OfAClientRunsInwardsForWhatComesAndOutwardsForWhatGoes) {
  const auto side = CallSide::kClient;
  Serve(Flavour::kSync, {},
        {.middlewares = {std::make_shared<Witness>("A", side, journal_),
                         std::make_shared<Witness>("B", side, journal_)}});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(CallUnary().ok());
    EXPECT_THAT(journal_.Take(),
                ElementsAre("A Unary start", "B Unary start", "B Unary send", "A Unary send",
                            "A Unary receive", "B Unary receive", "B Unary status",
                            "A Unary status", "B Unary end 2", "A Unary end 2"));
  }
}

TEST_F(Chain, OfAServerRunsInwardsForWhatComesAndOutwardsForWhatGoes) {
  const auto side = CallSide::kServer;
  Serve(Flavour::kSync,
        {.middlewares = {std::make_shared<Witness>("A", side, journal_),
                         std::make_shared<Witness>("B", side, journal_)}},
        {});
  ASSERT_TRUE(CallUnary().ok());
  server_->Shutdown();
  EXPECT_THAT(journal_.Take(),
              ElementsAre("A Unary start", "B Unary start", "A Unary receive", "B Unary receive",
                          "B Unary send", "A Unary send", "B Unary status", "A Unary status",
                          "B Unary end 2", "A Unary end 2"));
}

TEST_F(Chain, AskesOnlyMiddlewaresThatAreSelected) {
  const auto side = CallSide::kClient;
  Serve(Flavour::kSync, {},
        {.middlewares = {{std::make_shared<Witness>("A", side, journal_), "/echo.Echo/Bidi"},
                         {std::make_shared<Witness>("B", side, journal_), Not("/*/Bidi")}}});
  ASSERT_TRUE(CallUnary().ok());
  EXPECT_THAT(journal_.Take(), ElementsAre("B Unary start", "B Unary send", "B Unary receive",
                                           "B Unary status", "B Unary end 2"));
}

/// Names what it overrides, and notes what is called.
class Partial final : public Middleware {
 public:
  Partial(HookSet hooks, Journal& journal) : hooks_(hooks), journal_(journal) {}

  HookSet hooks() const noexcept override { return hooks_; }
  void OnSendMetadata(Call&, MetadataWriter&) noexcept override { journal_.Note("send"); }
  void OnReceiveMetadata(Call&, const MetadataView&) noexcept override { journal_.Note("receive"); }
  void OnMessage(Call&, const MessageView&) noexcept override { journal_.Note("message"); }
  void OnStatus(Call&, grpc::Status&) noexcept override { journal_.Note("status"); }
  void OnEnd(Call&, const CallReport&) noexcept override { journal_.Note("end"); }

 private:
  HookSet hooks_;
  Journal& journal_;
};

/// Works on what servers receive, and on what clients send.
class Sided final : public Middleware {
 public:
  explicit Sided(Journal& journal) : journal_(journal) {}

  HookSet side_hooks(CallSide side) const noexcept override {
    HookSet hooks = HooksOf<Sided>();
    hooks.Remove(side == CallSide::kServer ? HookSet::kOnSendMetadata
                                           : HookSet::kOnReceiveMetadata);
    return hooks;
  }
  void OnSendMetadata(Call& call, MetadataWriter&) noexcept override {
    journal_.Note(call.side() == CallSide::kClient ? "client sends" : "server sends");
  }
  void OnReceiveMetadata(Call& call, const MetadataView&) noexcept override {
    journal_.Note(call.side() == CallSide::kClient ? "client receives" : "server receives");
  }

 private:
  Journal& journal_;
};

TEST_F(Chain, AMiddlewareMayHaveOtherHooksOnTheOtherSide) {
  const auto sided = std::make_shared<Sided>(journal_);
  Serve(Flavour::kSync, {.middlewares = {sided}}, {.middlewares = {sided}});
  ASSERT_TRUE(CallUnary().ok());
  server_->Shutdown();
  EXPECT_THAT(journal_.Take(), UnorderedElementsAre("client sends", "server receives"));
}

TEST_F(Chain, CallsTheHooksThatAMiddlewareHas) {
  HookSet without_status = HooksOf<Partial>();
  without_status.Remove(HookSet::kOnStatus);
  HookSet only_end = without_status;
  only_end.Remove(HookSet::kOnSendMetadata);
  only_end.Remove(HookSet::kOnReceiveMetadata);
  only_end.Remove(HookSet::kOnMessage);
  Serve(Flavour::kSync, {.middlewares = {std::make_shared<Partial>(only_end, journal_)}},
        {.middlewares = {std::make_shared<Partial>(without_status, journal_)}});
  ASSERT_TRUE(CallUnary().ok());
  server_->Shutdown();
  EXPECT_THAT(journal_.Take(),
              UnorderedElementsAre("send", "message", "receive", "message", "end", "end"));
}

TEST(HookSetTest, HasWhatAMiddlewareOverrides) {
  for (const auto hook : {HookSet::kOnSendMetadata, HookSet::kOnReceiveMetadata,
                          HookSet::kOnMessage, HookSet::kOnStatus, HookSet::kOnEnd}) {
    EXPECT_TRUE(HooksOf<Partial>().Has(hook)) << hook;
  }
  for (const auto hook :
       {HookSet::kOnStart, HookSet::kAdmit, HookSet::kOnVerdict, HookSet::kAdmitSending,
        HookSet::kOnSendTrailers, HookSet::kOnReceiveTrailers}) {
    EXPECT_FALSE(HooksOf<Partial>().Has(hook)) << hook;
    EXPECT_TRUE(HookSet().Has(hook)) << hook;
  }
}

TEST_F(Chain, AStatusMayBeChangedOnBothSides) {
  class Changer : public Middleware {
   public:
    void OnStatus(Call& call, grpc::Status& status) noexcept override {
      status = call.side() == CallSide::kServer
                   ? grpc::Status(grpc::StatusCode::NOT_FOUND, "hidden")
                   : grpc::Status(grpc::StatusCode::ABORTED, status.error_message() + "!");
    }
  };
  Serve(Flavour::kCallback, {.tracer = tracer_, .middlewares = {std::make_shared<Changer>()}},
        {.tracer = tracer_, .middlewares = {std::make_shared<Changer>()}});
  const grpc::Status status = CallUnary();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "hidden!");
  server_->Shutdown();
  EXPECT_THAT(exporter_->Tree().ToString(), HasSubstr("!ABORTED: hidden!"));
}

TEST_F(Chain, FilteredMethodsAreSeenByNobody) {
  Serve(Flavour::kGenericCallback);
  const InterceptorStats before = GetInterceptorStats();
  const auto stub_call = [this](const std::string& method) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, kOk);
    return CallMethod(method, channel_, context).ok();
  };
  EXPECT_TRUE(stub_call("/grpc.health.v1.Health/Check"));
  EXPECT_TRUE(stub_call("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"));
  EXPECT_TRUE(stub_call("/weft.collector.v1.CollectorService/Export"));
  EXPECT_TRUE(stub_call("/opentelemetry.proto.collector.trace.v1.TraceService/Export"));
  server_->Shutdown();
  const InterceptorStats after = GetInterceptorStats();
  EXPECT_EQ(after.client_started - before.client_started, 1u);
  EXPECT_EQ(after.server_started - before.server_started, 1u);
}

TEST_F(Chain, TracesMethodsBeyondThoseItRemembers) {
  Serve(Flavour::kGenericCallback);
  constexpr std::size_t kMethods = 1500;
  for (std::size_t i = 0; i < kMethods; ++i) {
    grpc::ClientContext context;
    ASSERT_TRUE(CallMethod("/made.Up/M" + std::to_string(i), channel_, context).ok());
  }
  channel_.reset();
  server_->Shutdown();
  const RunTree tree = exporter_->Tree();
  EXPECT_EQ(tree.Roots().size(), kMethods);
  EXPECT_EQ(tree.FindRuns("made.Up/M1499").size(), 2u);
}

TEST(InterceptServerTest, RefusesASecondCallOnOneBuilder) {
  grpc::ServerBuilder builder;
  EXPECT_TRUE(InterceptServer(builder, {}).ok());
  const absl::Status status = InterceptServer(builder, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("InterceptServer"));
}

TEST(InterceptServerTest, DoesNotTakeANewBuilderForAnOldOne) {
  for (int i = 0; i < 3; ++i) {
    grpc::ServerBuilder builder;
    EXPECT_TRUE(InterceptServer(builder, {}).ok());
  }
}

TEST(InterceptServerTest, NamesAMiddlewareThatIsMissing) {
  grpc::ServerBuilder builder;
  const absl::Status status =
      InterceptServer(builder, {.middlewares = {std::shared_ptr<Middleware>()}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("middlewares[0]"));
}

}  // namespace
}  // namespace weft::echo_test
