// SPDX-License-Identifier: Apache-2.0
// Calls of a FiberServer are seen where they run, and not by a hook of gRPC.
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <weft/async/context_of.h>
#include <weft/async/fiber_server.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"
#include "server_interceptors.h"

namespace weft::echo_test::fiber_watch {

namespace {

using ::echo::Echo;
using ::echo::Message;
using weft::testing::HasMetadata;

class FiberWatchTest : public EchoTest, public ::testing::WithParamInterface<RpcKind> {
 protected:
  ~FiberWatchTest() override { Stop(); }

  void Start(InterceptorOptions options, FiberServerOptions server_options = {},
             bool others = false) {
    server_ = std::make_unique<FiberServer>(server_options);
    using Async = Echo::AsyncService;
    server_->Handle(
        &service_, &Async::RequestUnary,
        [this](grpc::ServerContext* context, const Message*, Message*) { return Look(*context); });
    server_->Handle(
        &service_, &Async::RequestClientStream,
        [this](grpc::ServerContext* context, RequestReader<Message>& reader, Message* reply) {
          while (reader.Read(reply)) {
          }
          return Look(*context);
        });
    server_->Handle(&service_, &Async::RequestServerStream,
                    [this](grpc::ServerContext* context, const Message* request,
                           ResponseWriter<Message>& writer) {
                      for (int i = 0; i < 2; ++i) writer.Write(*request);
                      return Look(*context);
                    });
    server_->Handle(
        &service_, &Async::RequestBidi,
        [this](grpc::ServerContext* context, RequestResponseStream<Message, Message>& stream) {
          for (Message message; stream.Read(&message);) stream.Write(message);
          return Look(*context);
        });
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
    if (others) factories.push_back(PassThrough());
    ASSERT_TRUE(InterceptServer(builder, std::move(options), std::move(factories)).ok());
    ASSERT_TRUE(server_->Start(builder).ok());
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                   grpc::InsecureChannelCredentials());
  }
  void Stop() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  grpc::Status Call() {
    grpc::ClientContext context;
    return CallSync(GetParam(), channel_, context);
  }

  std::atomic<std::size_t> interceptors_{99};
  std::atomic<bool> current_{false};

 private:
  grpc::Status Look(const grpc::ServerContext& context) {
    interceptors_ = InterceptorsOf(context);
    current_ = CurrentRun() && ContextOf(context) == Context::Current();
    return grpc::Status::OK;
  }

  Echo::AsyncService service_;
  std::unique_ptr<FiberServer> server_;
};

TEST_P(FiberWatchTest, ACallHasARunAndNoInterceptor) {
  Start({.tracer = tracer_});
  EXPECT_TRUE(Call().ok());
  Stop();
  EXPECT_EQ(interceptors_, 0U);
  EXPECT_TRUE(current_);
  const auto runs = exporter_->Tree().Roots();
  ASSERT_EQ(runs.size(), 1U);
  EXPECT_EQ(runs[0]->DisplayName(), RunNameOf(GetParam()));
  EXPECT_THAT(runs[0], weft::testing::HasNoError());
  EXPECT_THAT(runs[0], HasMetadata("weft.server_api", "fiber"));
}

TEST_P(FiberWatchTest, ItsMessagesAreCounted) {
  if (GetParam() == RpcKind::kUnary) GTEST_SKIP() << "its run says nothing of them";
  Start({.tracer = tracer_});
  EXPECT_TRUE(Call().ok());
  Stop();
  const bool reads = GetParam() != RpcKind::kServerStream;
  const bool writes = GetParam() != RpcKind::kClientStream;
  const auto run = exporter_->Tree().Roots()[0];
  EXPECT_THAT(run, HasMetadata("rpc.grpc.messages_received", std::int64_t{reads ? 2 : 1}));
  EXPECT_THAT(run, HasMetadata("rpc.grpc.messages_sent", std::int64_t{writes ? 2 : 1}));
}

TEST_P(FiberWatchTest, MiddlewaresMayChangeAllThatIsSent) {
  const auto hooks = std::make_shared<Hooks>();
  hooks->on_send = [](weft::Call&, MetadataWriter& metadata) { metadata.Add("first", "1"); };
  hooks->on_send_trailers = [](weft::Call&, MetadataWriter& metadata) {
    metadata.Add("last", "2");
  };
  hooks->on_status = [](weft::Call&, grpc::Status& status) {
    status = grpc::Status(grpc::StatusCode::DATA_LOSS, "changed");
  };
  Start({.tracer = tracer_, .middlewares = {hooks}});
  grpc::ClientContext context;
  const grpc::Status status = CallSync(GetParam(), channel_, context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(status.error_message(), "changed");
  EXPECT_EQ(context.GetServerInitialMetadata().count("first"), 1U);
  EXPECT_EQ(context.GetServerTrailingMetadata().count("last"), 1U);
  Stop();
  EXPECT_EQ(exporter_->Tree().Roots()[0]->error, "DATA_LOSS: changed");
}

TEST_P(FiberWatchTest, HooksStayBesideOtherInterceptors) {
  Start({.tracer = tracer_}, {}, /*others=*/true);
  EXPECT_TRUE(Call().ok());
  Stop();
  EXPECT_EQ(interceptors_, 2U);
  EXPECT_TRUE(current_);
  EXPECT_THAT(exporter_->Tree().Roots()[0], HasMetadata("weft.server_api", "fiber"));
}

TEST_P(FiberWatchTest, HooksStayWhereNothingTellsTheEnd) {
  Start({.tracer = tracer_}, {.watch_cancellation = false});
  EXPECT_TRUE(Call().ok());
  Stop();
  EXPECT_EQ(interceptors_, 1U);
  EXPECT_EQ(exporter_->Runs().size(), 1U);
}

INSTANTIATE_TEST_SUITE_P(All, FiberWatchTest,
                         ::testing::Values(RpcKind::kUnary, RpcKind::kClientStream,
                                           RpcKind::kServerStream, RpcKind::kBidiStream),
                         [](const auto& param) { return std::string(RpcKindName(param.param)); });

}  // namespace
}  // namespace weft::echo_test::fiber_watch
