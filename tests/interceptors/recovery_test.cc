// SPDX-License-Identifier: Apache-2.0
// What becomes of a call whose handler throws, for each way to handle a call and each kind.
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <weft/async/with_context.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/interceptors/logging.h>
#include <weft/interceptors/recovery.h>
#include <weft/testing/middleware_suite.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "echo_rpc.h"
#include "fixture.h"
#include "ping_calls.h"
#include "ping_services.h"
#include "uncaught.grpc.pb.h"

namespace weft::echo_test {
namespace {

using ::echo::Message;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Code = grpc::StatusCode;
using Calls = weft::testing::internal::PingCalls<EchoRpc>;
using weft::testing::HasError;

constexpr char kSafeText[] = "Unexpected error in RPC handling";

struct UncaughtRpc {
  using Service = ::uncaught::Echo;
  using Message = ::uncaught::Message;
  static constexpr char kService[] = "uncaught.Echo";
};
using UncaughtCalls = weft::testing::internal::PingCalls<UncaughtRpc>;

/// A callback service whose reactions throw.
class ReactionEcho final : public EchoService, public ::echo::Echo::CallbackService {
 public:
  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    return RegisterWith(builder, *this, guarded);
  }

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext*, const Message*, Message*) override {
    auto* const reactor = new WithContext<Thrower<grpc::ServerUnaryReactor>>;
    reactor->StartSendInitialMetadata();
    return reactor;
  }
  grpc::ServerReadReactor<Message>* ClientStream(grpc::CallbackServerContext*, Message*) override {
    return new WithContext<Reading<grpc::ServerReadReactor<Message>>>;
  }
  grpc::ServerWriteReactor<Message>* ServerStream(grpc::CallbackServerContext*,
                                                  const Message*) override {
    return new WithContext<Writing>;
  }
  grpc::ServerBidiReactor<Message, Message>* Bidi(grpc::CallbackServerContext*) override {
    return new WithContext<Reading<grpc::ServerBidiReactor<Message, Message>>>;
  }

 private:
  template <typename Base>
  class Thrower : public Base {
   public:
    void OnSendInitialMetadataDone(bool) override { Throw(); }
    void OnDone() override { delete this; }

   protected:
    static void Throw() { throw std::runtime_error("the reaction broke"); }
    Message message_;
  };
  template <typename Base>
  class Reading : public Thrower<Base> {
   public:
    Reading() { this->StartRead(&this->message_); }
    void OnReadDone(bool) override { this->Throw(); }
  };
  class Writing : public Thrower<grpc::ServerWriteReactor<Message>> {
   public:
    Writing() { StartWrite(&message_); }
    void OnWriteDone(bool) override { Throw(); }
  };
};

/// How a call is handled.
enum class How {
  kSync,
  kUncaughtSync,  // gRPC was told not to catch
  kCallbackMethod,
  kCallbackReaction,
  kGenericCallback,
  kCq,
  kGenericCq,
  kFiber,
};
constexpr int kHows = static_cast<int>(How::kFiber) + 1;

std::ostream& operator<<(std::ostream& out, How how) {
  constexpr const char* kNames[] = {
      "Sync", "UncaughtSync", "CallbackMethod", "CallbackReaction", "GenericCallback",
      "Cq",   "GenericCq",    "Fiber"};
  return out << kNames[static_cast<int>(how)];
}

/// What it throws; empty: gRPC keeps that to itself.
std::string ThrownBy(How how) {
  switch (how) {
    case How::kSync:
    case How::kCallbackMethod:
      return {};
    case How::kCallbackReaction:
      return "the reaction broke";
    case How::kGenericCallback:
      return "the method broke";
    default:
      return "the handler broke";
  }
}

std::unique_ptr<EchoService> MakeEcho(How how, Progress& progress) {
  switch (how) {
    case How::kSync:
      return MakeService(Flavour::kSync, progress);
    case How::kUncaughtSync:
      return std::make_unique<weft::testing::internal::SyncPing<UncaughtRpc>>(progress);
    case How::kCallbackMethod:
      return MakeService(Flavour::kCallback, progress);
    case How::kCallbackReaction:
      return std::make_unique<ReactionEcho>();
    case How::kGenericCallback:
      return MakeService(Flavour::kGenericCallback, progress);
    case How::kCq:
      return MakeService(Flavour::kCq, progress);
    case How::kGenericCq:
      return MakeService(Flavour::kGenericCq, progress);
    case How::kFiber:
      return MakeService(Flavour::kFiber, progress);
  }
  return nullptr;
}

class RecoveryTest : public EchoTest {
 protected:
  ~RecoveryTest() override {
    if (service_ != nullptr) service_->Shutdown();
  }

  void Serve(std::unique_ptr<EchoService> service, InterceptorOptions options,
             bool guarded = true) {
    service_ = std::move(service);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    ASSERT_TRUE(service_->Register(builder, guarded).ok());
    options.guard_services = guarded;
    ASSERT_TRUE(InterceptServer(builder, std::move(options)).ok());
    ASSERT_NE(service_->Start(builder), nullptr);
    channel_ = CreateChannel("127.0.0.1:" + std::to_string(port),
                             grpc::InsecureChannelCredentials(), {.tracer = tracer_});
  }
  void Shutdown() {
    channel_.reset();
    std::exchange(service_, nullptr)->Shutdown();
  }

  /// A call to a handler that throws.
  grpc::Status Call(How how, RpcKind kind) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, kThrow);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return how == How::kUncaughtSync ? UncaughtCalls::Sync(kind, channel_, context, {})
                                     : Calls::Sync(kind, channel_, context, {});
  }

  /// Notes what it is told.
  std::shared_ptr<Middleware> Noting(RecoveryOptions options = {}) {
    options.on_exception = [this](const weft::Call& call, const std::exception_ptr& exception) {
      const std::lock_guard lock(mutex_);
      noted_.push_back(std::string(call.method().method) + ": " + ExceptionText(exception));
    };
    return Recovery(std::move(options));
  }
  std::vector<std::string> noted() {
    const std::lock_guard lock(mutex_);
    return noted_;
  }

  std::optional<std::string> ErrorOfServerRun() {
    for (const auto& run : exporter_->Tree().Roots()[0].Children()) return run->error;
    return "no run";
  }

  Progress progress_;
  std::unique_ptr<EchoService> service_;

 private:
  std::mutex mutex_;
  std::vector<std::string> noted_;
};

using Case = std::tuple<How, RpcKind, bool>;  // the last: registered with weft

class RecoveryCells : public RecoveryTest, public ::testing::WithParamInterface<Case> {};

TEST_P(RecoveryCells, TellThePeerNothingAndTheRunAll) {
  const auto [how, kind, guarded] = GetParam();
  const std::uint64_t before = GetInterceptorStats().handler_exceptions;
  Serve(MakeEcho(how, progress_), {.tracer = tracer_, .middlewares = {Noting()}}, guarded);
  const grpc::Status status = Call(how, kind);
  Shutdown();
  EXPECT_EQ(status.error_code(), Code::INTERNAL);
  EXPECT_EQ(status.error_message(), kSafeText);
  EXPECT_THAT(status.error_details(), IsEmpty());
  EXPECT_EQ(GetInterceptorStats().handler_exceptions - before, 1u);

  const std::string thrown = ThrownBy(how);
  const std::string method = Calls::NameOf(kind).substr(Calls::NameOf(kind).rfind('/') + 1);
  EXPECT_THAT(noted(), ElementsAre(method + ": " + (thrown.empty() ? "unknown" : thrown)));
  EXPECT_EQ(ErrorOfServerRun(),
            std::string("INTERNAL: ") + kSafeText + (thrown.empty() ? "" : ": " + thrown));
}

std::vector<Case> Cells() {
  std::vector<Case> cells;
  for (int i = 0; i < kHows * 4 * 2; ++i) {
    const auto how = static_cast<How>(i / 2 / 4);
    const bool guarded = i % 2 == 0;
    // There nobody catches them, and the generic service cannot be told from one without the
    // method.
    if (!guarded && (how == How::kUncaughtSync || how == How::kGenericCallback)) continue;
#if defined(__SANITIZE_ADDRESS__)
    // AddressSanitizer reports the stack of a fiber that an exception unwinds.
    if (how == How::kFiber) continue;
#endif
    cells.emplace_back(how, static_cast<RpcKind>(i / 2 % 4), guarded);
  }
  return cells;
}

INSTANTIATE_TEST_SUITE_P(All, RecoveryCells, ::testing::ValuesIn(Cells()), [](const auto& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param))
       << (std::get<2>(param.param) ? "" : "_Unguarded");
  return name.str();
});

TEST_F(RecoveryTest, TellsThePeerWhatTheOptionsSay) {
  RecoveryOptions options;
  options.reply = [](const std::exception_ptr& exception) {
    return grpc::Status(Code::ABORTED, "sorry: " + ExceptionText(exception));
  };
  Serve(MakeEcho(How::kCq, progress_), {.tracer = tracer_, .middlewares = {Recovery(options)}});
  const grpc::Status status = Call(How::kCq, RpcKind::kUnary);
  EXPECT_EQ(status.error_code(), Code::ABORTED);
  EXPECT_EQ(status.error_message(), "sorry: the handler broke");
}

TEST_F(RecoveryTest, AnExceptionIsNeverASuccess) {
  RecoveryOptions options;
  options.reply = [](const std::exception_ptr&) { return grpc::Status::OK; };
  Serve(MakeEcho(How::kSync, progress_), {.tracer = tracer_, .middlewares = {Recovery(options)}});
  EXPECT_EQ(Call(How::kSync, RpcKind::kUnary).error_code(), Code::INTERNAL);
}

TEST_F(RecoveryTest, LeavesTheStatusesOfHandlersAlone) {
  Serve(MakeEcho(How::kSync, progress_), {.tracer = tracer_, .middlewares = {Noting()}});
  for (const auto& [behaviour, code] :
       {std::pair(kOk, Code::OK), std::pair(kError, Code::FAILED_PRECONDITION),
        std::pair(kErrorAfterFirst, Code::INTERNAL)}) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    EXPECT_EQ(CallSync(RpcKind::kUnary, channel_, context).error_code(), code);
  }
  EXPECT_THAT(noted(), IsEmpty());
}

/// Overrides nothing.
template <typename Base>
class EmptyEcho final : public EchoService, public Base {
 public:
  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    return RegisterWith(builder, *this, guarded);
  }
};

TEST_F(RecoveryTest, LeavesMethodsAloneThatAServiceDoesNotHave) {
  Serve(std::make_unique<EmptyEcho<::echo::Echo::Service>>(), {.middlewares = {Noting()}});
  EXPECT_EQ(Call(How::kSync, RpcKind::kUnary).error_code(), Code::UNIMPLEMENTED);
  EXPECT_EQ(CallUnknownMethod(channel_).error_code(), Code::UNIMPLEMENTED);
  Shutdown();
  Serve(std::make_unique<EmptyEcho<::echo::Echo::CallbackService>>(),
        {.middlewares = {Noting({.null_reactors = false})}});
  EXPECT_EQ(Call(How::kSync, RpcKind::kUnary).error_code(), Code::UNIMPLEMENTED);
  Shutdown();
  Serve(std::make_unique<EmptyEcho<::echo::Echo::CallbackService>>(),
        {.middlewares = {{Noting(), Selector("/echo.Echo/Bidi")}}});
  EXPECT_EQ(Call(How::kSync, RpcKind::kUnary).error_code(), Code::UNIMPLEMENTED);
  EXPECT_EQ(Call(How::kSync, RpcKind::kBidiStream).error_code(), Code::INTERNAL);
  EXPECT_THAT(noted(), ElementsAre("Bidi: unknown"));
}

TEST_F(RecoveryTest, ARequestThatCannotBeReadIsNoException) {
  Serve(MakeEcho(How::kCallbackMethod, progress_), {.middlewares = {Noting()}});
  grpc::ClientContext context;
  EXPECT_EQ(CallMalformed(RpcKind::kUnary, channel_, context).error_code(), Code::UNIMPLEMENTED);
  EXPECT_THAT(noted(), IsEmpty());
}

TEST_F(RecoveryTest, TheRunAndTheLogHaveTheTextWithoutIt) {
  std::mutex mutex;
  std::string line;
  const auto log = [&](LogLevel, std::string_view text) {
    const std::lock_guard lock(mutex);
    line = text;
  };
  Serve(MakeEcho(How::kCq, progress_), {.tracer = tracer_, .middlewares = {Logging(log)}});
  EXPECT_EQ(Call(How::kCq, RpcKind::kUnary).error_message(), kSafeText);
  Shutdown();
  EXPECT_THAT(line, HasSubstr("exception=\"the handler broke\""));
  EXPECT_THAT(ErrorOfServerRun(), ::testing::Optional(HasSubstr(": the handler broke")));
}

/// Leaves its last message to be sent with the status, and throws.
class HalfSent final : public EchoService, public ::uncaught::Echo::Service {
 public:
  absl::Status Register(grpc::ServerBuilder& builder, bool guarded) override {
    return RegisterWith(builder, *this, guarded);
  }
  grpc::Status ServerStream(grpc::ServerContext*, const ::uncaught::Message* request,
                            grpc::ServerWriter<::uncaught::Message>* writer) override {
    writer->WriteLast(*request, {});
    throw std::runtime_error("too late");
  }
};

TEST_F(RecoveryTest, AMessageThatWaitsForTheStatusIsSent) {
  Serve(std::make_unique<HalfSent>(), {.tracer = tracer_, .middlewares = {Noting()}});
  grpc::ClientContext context;
  const auto stub = ::uncaught::Echo::NewStub(channel_);
  ::uncaught::Message message;
  const auto reader = stub->ServerStream(&context, message);
  EXPECT_TRUE(reader->Read(&message));
  EXPECT_FALSE(reader->Read(&message));
  EXPECT_EQ(reader->Finish().error_code(), Code::INTERNAL);
  EXPECT_THAT(noted(), ElementsAre("ServerStream: too late"));
}

TEST(RecoveryOptionsTest, AFunctionThatThrowsIsCountedAndTheReplySafe) {
  RecoveryOptions options;
  options.reply = [](const std::exception_ptr&) -> grpc::Status { throw std::runtime_error("x"); };
  options.on_exception = [](const weft::Call&, const std::exception_ptr&) {
    throw std::runtime_error("y");
  };
  const std::uint64_t before = GetInterceptorStats().hook_failures;
  auto server = weft::testing::PingServer::Start(
      {.flavour = Flavour::kSync, .interceptors = {.middlewares = {Recovery(options)}}});
  ASSERT_TRUE(server.ok());
  grpc::ClientContext context;
  context.AddMetadata(kBehaviour, kThrow);
  const grpc::Status status = weft::testing::Ping(weft::testing::ClientFlavour::kSync,
                                                  RpcKind::kUnary, (*server)->Connect(), context);
  EXPECT_EQ(status.error_code(), Code::INTERNAL);
  EXPECT_EQ(status.error_message(), kSafeText);
  EXPECT_EQ(GetInterceptorStats().hook_failures - before, 2u);
}

WEFT_MIDDLEWARE_SUITE(Recovery, [] {
  return weft::testing::MiddlewareUnderTest{.middleware = Recovery(), .on_clients = false};
});

TEST(ExceptionTextTest, SaysWhatThereIsToSay) {
  EXPECT_EQ(ExceptionText(nullptr), "unknown");
  EXPECT_EQ(ExceptionText(std::make_exception_ptr(1)), "not a std::exception");
  EXPECT_EQ(ExceptionText(std::make_exception_ptr(std::runtime_error("why"))), "why");
}

}  // namespace
}  // namespace weft::echo_test
