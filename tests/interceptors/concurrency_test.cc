// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using weft::testing::HasMetadata;
using weft::testing::RunInTree;
using weft::testing::RunTree;

class Concurrency : public EchoTest,
                    public ::testing::WithParamInterface<std::tuple<Flavour, ClientApi>> {};

TEST_P(Concurrency, EveryHandlerWorksUnderItsOwnCaller) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 60;
  const auto& [flavour, api] = GetParam();
  Serve(flavour, /*workers=*/4);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        const weft::Run caller(id, {.tracer = tracer_});
        grpc::ClientContext context;
        context.AddMetadata(kBehaviour, i % 5 == 0 ? kError : kOk);
        context.AddMetadata(kCallId, id);
        const auto kind = static_cast<RpcKind>(i % 4);
        EXPECT_EQ(CallEcho(api, kind, channel_, context).ok(), i % 5 != 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  channel_.reset();
  server_->Shutdown();
  const RunTree tree = exporter_->Tree();
  ASSERT_EQ(tree.Roots().size(), std::size_t{kThreads} * kCalls);
  for (const RunInTree& caller : tree.Roots()) {
    SCOPED_TRACE(caller->DisplayName());
    ASSERT_EQ(caller.Children().size(), 1u);
    const RunInTree client = caller.Children()[0];
    ASSERT_EQ(client.Children().size(), 1u);
    const RunInTree server = client.Children()[0];
    int works = 0;
    for (const RunInTree& child : server.Children()) {
      if (child->DisplayName() != "work") continue;
      ++works;
      EXPECT_THAT(child, HasMetadata("id", std::string(caller->DisplayName())));
    }
    EXPECT_EQ(works, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Concurrency,
    ::testing::Combine(::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                         Flavour::kGenericCq, Flavour::kGenericCallback),
                       ::testing::Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq)),
    [](const auto& param) {
      std::ostringstream name;
      name << std::get<0>(param.param) << '_' << std::get<1>(param.param);
      return name.str();
    });

}  // namespace
}  // namespace weft::echo_test
