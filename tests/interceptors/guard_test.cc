// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <weft/async/fiber_server.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::echo::Message;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using weft::testing::HasMetadata;
using weft::testing::RunTree;

/// Rejects calls that say so.
class RejectSome : public RejectAll {
 public:
  Verdict Admit(Call& call, const MetadataView& metadata) noexcept override {
    return metadata.Get(kBehaviour) == "reject" ? RejectAll::Admit(call, metadata) : Verdict{};
  }
};

class FiberEcho {
 public:
  explicit FiberEcho(InterceptorOptions options) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    EXPECT_TRUE(InterceptServer(builder, std::move(options)).ok());
    using Async = ::echo::Echo::AsyncService;
    server_.Handle(&service_, &Async::RequestUnary,
                   [this](grpc::ServerContext*, const Message*, Message*) { return Handled(); });
    server_.Handle(&service_, &Async::RequestClientStream,
                   [this](grpc::ServerContext*, RequestReader<Message>& reader, Message*) {
                     Message message;
                     while (reader.Read(&message)) {
                     }
                     return Handled();
                   });
    server_.Handle(&service_, &Async::RequestServerStream,
                   [this](grpc::ServerContext*, const Message*, ResponseWriter<Message>& writer) {
                     for (int i = 0; i < 2; ++i) writer.Write(Message());
                     return Handled();
                   });
    server_.Handle(&service_, &Async::RequestBidi,
                   [this](grpc::ServerContext*, RequestResponseStream<Message, Message>& stream) {
                     Message message;
                     while (stream.Read(&message)) stream.Write(message);
                     return Handled();
                   });
    EXPECT_TRUE(server_.Start(builder).ok());
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  void Shutdown() { server_.Shutdown(std::chrono::system_clock::now()); }
  const std::string& address() const { return address_; }
  int handled() const { return handled_; }

 private:
  grpc::Status Handled() {
    ++handled_;
    return grpc::Status::OK;
  }

  ::echo::Echo::AsyncService service_;
  std::atomic<int> handled_{0};
  std::string address_;
  FiberServer server_;
};

class FiberGuard : public EchoTest, public ::testing::WithParamInterface<RpcKind> {};

TEST_P(FiberGuard, RejectsBeforeTheHandler) {
  ::testing::internal::CaptureStderr();
  FiberEcho echo({.tracer = tracer_, .middlewares = {std::make_shared<RejectSome>()}});
  channel_ = CreateChannel(echo.address(), grpc::InsecureChannelCredentials(), {.tracer = tracer_});
  {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, "reject");
    const grpc::Status status = CallSync(GetParam(), channel_, context);
    EXPECT_EQ(status.error_code(), RejectAll::kCode);
    EXPECT_EQ(status.error_message(), RejectAll::kText);
    EXPECT_EQ(context.GetServerTrailingMetadata().count("retry-after"), 1u);
    EXPECT_EQ(echo.handled(), 0);
  }
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(GetParam(), channel_, context).ok());
  EXPECT_EQ(echo.handled(), 1);
  channel_.reset();
  echo.Shutdown();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), IsEmpty());
  const RunTree tree = exporter_->Tree();
  ASSERT_EQ(tree.Roots().size(), 2u);
  ASSERT_EQ(tree.Roots()[0].Children().size(), 1u);
  EXPECT_THAT(tree.Roots()[0].Children()[0], HasMetadata("weft.rejected_by", "reject_all"));
  EXPECT_THAT(tree.Roots()[0].Children()[0], HasMetadata("weft.server_api", "fiber"));
}

INSTANTIATE_TEST_SUITE_P(All, FiberGuard,
                         ::testing::Values(RpcKind::kUnary, RpcKind::kClientStream,
                                           RpcKind::kServerStream, RpcKind::kBidiStream),
                         [](const auto& param) { return std::string(RpcKindName(param.param)); });

class RejectedStreams : public EchoTest, public ::testing::WithParamInterface<Flavour> {};

TEST_P(RejectedStreams, DoNotKeepTheServerFromShuttingDown) {
  for (const bool guarded : {true, false}) {
    Serve(GetParam(),
          {.tracer = tracer_,
           .middlewares = {std::make_shared<RejectAll>()},
           .guard_services = guarded},
          {.tracer = tracer_}, 1, guarded);
    grpc::ClientContext context;
    const auto stub = ::echo::Echo::NewStub(channel_);
    const auto stream = stub->Bidi(&context);
    Message message;
    EXPECT_FALSE(stream->Read(&message));
    server_->Shutdown();  // the client has neither said that it is done nor asked for the status
    EXPECT_EQ(stream->Finish().error_code(), RejectAll::kCode);
  }
}

INSTANTIATE_TEST_SUITE_P(All, RejectedStreams,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                           Flavour::kGenericCq, Flavour::kGenericCallback),
                         [](const auto& flavour) {
                           std::ostringstream name;
                           name << flavour.param;
                           return name.str();
                         });

// Services that only the builder was given.
TEST_P(RejectedStreams, DoNotReachHandlersOfServicesThatTheBuilderRegistered) {
  ::testing::internal::CaptureStderr();
  Serve(GetParam(), {.tracer = tracer_, .middlewares = {std::make_shared<RejectSome>()}},
        {.tracer = tracer_}, 1, /*guarded=*/false);
  const bool queue = GetParam() == Flavour::kCq || GetParam() == Flavour::kGenericCq;
  grpc::ClientContext rejected;
  rejected.AddMetadata(kBehaviour, "reject");
  const grpc::Status status = CallSync(RpcKind::kBidiStream, channel_, rejected);
  EXPECT_EQ(status.error_code(), RejectAll::kCode);
  EXPECT_EQ(status.error_message(), RejectAll::kText);
  EXPECT_EQ(rejected.GetServerTrailingMetadata().count("retry-after"), queue ? 0U : 1U);
  EXPECT_EQ(server_->progress().handled, 0);  // the queues of these tests ask
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context).ok());
  server_->Shutdown();
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(warnings.empty(), !queue) << warnings;
}

class Guard : public EchoTest {
 protected:
  std::string ServeAndCapture(InterceptorOptions options, bool guarded) {
    ::testing::internal::CaptureStderr();
    options.guard_services = guarded;
    Serve(Flavour::kSync, std::move(options), {}, 1, guarded);
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(Guard, NamesAServiceThatIsNotGuardedWhenTheServerStarts) {
  EXPECT_THAT(
      ServeAndCapture({.middlewares = {std::make_shared<RejectAll>()}}, false),
      AllOf(HasSubstr("echo.Echo"), HasSubstr("\"reject_all\""), Not(HasSubstr("grpc.health"))));
}

TEST_F(Guard, DoesNotWarnWhereNothingIsWrong) {
  EXPECT_THAT(ServeAndCapture({.middlewares = {std::make_shared<RejectAll>()}}, true), IsEmpty());
  EXPECT_THAT(ServeAndCapture({.middlewares = {std::make_shared<ReceivedMetadata>()}}, false),
              IsEmpty());
  EXPECT_THAT(ServeAndCapture(
                  {.middlewares = {{std::make_shared<RejectAll>(), "/other.Service/*"}}}, false),
              IsEmpty());
}

TEST_F(Guard, NamesAServiceOnceWhenAnUnannouncedRejectionReachesIt) {
  class Silent : public RejectAll {
   public:
    bool may_reject() const noexcept override { return false; }
  };
  EXPECT_THAT(ServeAndCapture({.middlewares = {std::make_shared<Silent>()}}, false), IsEmpty());
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    EXPECT_EQ(CallSync(RpcKind::kUnary, channel_, context).error_code(), RejectAll::kCode);
  }
  server_->Shutdown();
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("echo.Echo"));
  EXPECT_EQ(text.find("was rejected"), text.rfind("was rejected"));
}

TEST_F(Guard, LetsAServiceBeRegisteredWithASecondServer) {
  ::echo::Echo::Service service;
  for (int i = 0; i < 2; ++i) {
    grpc::ServerBuilder builder;
    EXPECT_TRUE(RegisterService(builder, &service).ok());
    EXPECT_TRUE(InterceptServer(builder, {.middlewares = {std::make_shared<RejectSome>()}}).ok());
    const auto server = builder.BuildAndStart();
    channel_ = CreateInProcessChannel(*server);
    grpc::ClientContext rejected;
    rejected.AddMetadata(kBehaviour, "reject");
    EXPECT_EQ(CallSync(RpcKind::kBidiStream, channel_, rejected).error_code(), RejectAll::kCode);
    grpc::ClientContext context;
    EXPECT_EQ(CallSync(RpcKind::kUnary, channel_, context).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
    channel_.reset();
    server->Shutdown(std::chrono::system_clock::now());
  }
}

TEST_F(Guard, WorksWithoutAnInterceptor) {
  ::echo::Echo::Service service;
  grpc::ServerBuilder builder;
  EXPECT_TRUE(RegisterService(builder, &service).ok());
  const auto server = builder.BuildAndStart();
  channel_ = server->InProcessChannel({});
  grpc::ClientContext context;
  EXPECT_EQ(CallSync(RpcKind::kUnary, channel_, context).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  channel_.reset();
  server->Shutdown(std::chrono::system_clock::now());
}

TEST(RegisterServiceTest, RefusesNull) {
  grpc::ServerBuilder builder;
  EXPECT_EQ(RegisterService(builder, nullptr).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RegisterCallbackGenericService(builder, nullptr).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(RegisterAsyncGenericService(builder, nullptr).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RegisterServiceTest, NamesAMethodWhoseMessagesItDoesNotKnow) {
  struct Other : grpc::Service {
    Other() {
      AddMethod(new grpc::internal::RpcServiceMethod("/other.Other/Get",
                                                     grpc::internal::RpcMethod::NORMAL_RPC,
                                                     new grpc::internal::UnknownMethodHandler("")));
    }
  };
  Other other;
  grpc::ServerBuilder builder;
  const absl::Status status = RegisterService(builder, &other);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/other.Other/Get"));
}

}  // namespace
}  // namespace weft::echo_test
