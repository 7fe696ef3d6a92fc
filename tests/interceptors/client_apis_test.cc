// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <list>
#include <memory>
#include <sstream>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::Combine;
using ::testing::Values;
using weft::testing::RunInTree;
using weft::testing::RunTree;

class ClientApis : public EchoTest,
                   public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {
 protected:
  ClientApi api() const { return std::get<0>(GetParam()); }
  RpcKind kind() const { return std::get<1>(GetParam()); }
};

TEST_P(ClientApis, MakeTheCallAChildOfTheCallersRun) {
  Serve(Flavour::kSync);
  for (const char* behaviour : {kOk, kError}) {
    weft::Run test(behaviour, {.tracer = tracer_});
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    EXPECT_EQ(CallEcho(api(), kind(), channel_, context).ok(), behaviour == kOk);
  }
  channel_.reset();
  server_->Shutdown();
  const RunTree tree = exporter_->Tree();
  SCOPED_TRACE(tree.ToString());
  EXPECT_EQ(tree.size(), 8u);
  for (const char* behaviour : {kOk, kError}) {
    ASSERT_EQ(tree.FindRun(behaviour).Children().size(), 1u);
    const RunInTree client = tree.FindRun(behaviour).Children()[0];
    EXPECT_EQ(client->error.has_value(), behaviour == kError);
    EXPECT_EQ(client->type, kind() == RpcKind::kUnary ? RunType::kTool : RunType::kChain);
    ASSERT_EQ(client.Children().size(), 1u);
    EXPECT_EQ(client.Children()[0].Children().size(), 1u);
  }
}

TEST_F(EchoTest, ACallThatIsNeverStartedIsNone) {
  Serve(Flavour::kSync);
  PrepareAndDrop(channel_);
  channel_.reset();
  server_->Shutdown();
  EXPECT_EQ(exporter_->Tree().size(), 0u);
}

/// Takes long over each message, and notices when the call ends meanwhile.
class SlowReader : public Middleware {
 public:
  void OnMessage(Call& /*call*/, const MessageView& message) noexcept override {
    if (message.direction == MessageView::Direction::kSent) return;
    const std::list<int> work(200'000);
    if (!work.empty() && !ended) ++read;
  }
  void OnEnd(Call& /*call*/, const CallReport& /*report*/) noexcept override { ended = true; }
  std::atomic<int> read = 0;
  std::atomic<bool> ended = false;
};

TEST_P(ClientApis, SeeAllMessagesBeforeTheStatus) {
  const auto reader = std::make_shared<SlowReader>();
  Serve(Flavour::kSync, {.tracer = tracer_}, {.tracer = tracer_, .middlewares = {reader}});
  grpc::ClientContext context;
  EXPECT_TRUE(CallEcho(api(), kind(), channel_, context).ok());
  const bool one = kind() == RpcKind::kUnary || kind() == RpcKind::kClientStream;
  EXPECT_EQ(reader->read, one ? 1 : 2);
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<ClientApi, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, ClientApis,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 Values(RpcKind::kUnary, RpcKind::kClientStream,
                                        RpcKind::kServerStream, RpcKind::kBidiStream)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Generic, ClientApis,
                         Combine(Values(ClientApi::kGenericCq), Values(RpcKind::kUnary)), NameOf);

}  // namespace
}  // namespace weft::echo_test
