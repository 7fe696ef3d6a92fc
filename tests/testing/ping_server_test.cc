// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/ping_server.h>

#include <memory>
#include <sstream>
#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/ping_client.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/tracer.h>

namespace weft {
namespace {

// snippet: ping
using weft::testing::ClientFlavour;
using weft::testing::HasParent;
using weft::testing::InMemoryExporter;
using weft::testing::Ping;
using weft::testing::PingServer;
using weft::testing::ServerFlavour;

TEST(MyServiceTest, TracesItsHandler) {
  auto exporter = std::make_shared<InMemoryExporter>();
  auto tracer = Tracer::Create({.exporters = {exporter}}).value();
  auto server =
      PingServer::Start({.flavour = ServerFlavour::kCallback, .interceptors = {.tracer = tracer}});
  ASSERT_TRUE(server.ok());
  auto channel = (*server)->ConnectInProcess();
  grpc::ClientContext context;
  EXPECT_TRUE(Ping(ClientFlavour::kSync, RpcKind::kUnary, channel, context).ok());
  channel.reset();
  (*server)->Shutdown();
  EXPECT_THAT(exporter->Tree().FindRun("work"), HasParent("weft.ping.v1.Ping/Unary"));
}
// end snippet

class PingServerTest
    : public ::testing::TestWithParam<std::tuple<ServerFlavour, ClientFlavour, bool>> {};

TEST_P(PingServerTest, AnswersAndFailsAsAsked) {
  const auto& [flavour, client, in_process] = GetParam();
  auto server = PingServer::Start({.flavour = flavour});
  ASSERT_TRUE(server.ok());
  auto channel = in_process ? (*server)->ConnectInProcess() : (*server)->Connect();
  for (const auto& [asked, code] :
       {std::pair(testing::behaviour::kOk, grpc::StatusCode::OK),
        std::pair(testing::behaviour::kError, grpc::StatusCode::FAILED_PRECONDITION),
        std::pair(testing::behaviour::kErrorAfterFirst, grpc::StatusCode::INTERNAL)}) {
    for (int kind = 0; kind < (client == ClientFlavour::kGenericCq ? 1 : 4); ++kind) {
      grpc::ClientContext context;
      context.AddMetadata(testing::behaviour::kKey, asked);
      EXPECT_EQ(Ping(client, static_cast<RpcKind>(kind), channel, context, "text").error_code(),
                code);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PingServerTest,
    ::testing::Combine(::testing::Values(ServerFlavour::kSync, ServerFlavour::kCallback,
                                         ServerFlavour::kCq, ServerFlavour::kGenericCq,
                                         ServerFlavour::kGenericCallback, ServerFlavour::kFiber),
                       ::testing::Values(ClientFlavour::kSync, ClientFlavour::kCallback,
                                         ClientFlavour::kCq, ClientFlavour::kGenericCq),
                       ::testing::Bool()),
    [](const auto& param) {
      std::ostringstream name;
      name << std::get<0>(param.param) << "_to_" << std::get<1>(param.param)
           << (std::get<2>(param.param) ? "_InProcess" : "");
      return name.str();
    });

}  // namespace
}  // namespace weft
