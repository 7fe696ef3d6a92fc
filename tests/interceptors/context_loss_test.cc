// SPDX-License-Identifier: Apache-2.0
// A handler that hands work on without its context, on servers of every flavour.
#include <atomic>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <boost/fiber/fiber.hpp>

#include <weft/context/bind.h>
#include <weft/context/spawn.h>
#include <weft/testing/run_tree.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

constexpr const char* kMark = "weft_context_lost";

class ContextLossTest : public EchoTest {
 protected:
  ContextLossTest() {
    tracer_ = Tracer::Create({.detect_context_loss = true, .exporters = {exporter_}}).value();
  }

  void CallOnce() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    const grpc::Status status = CallSync(RpcKind::kUnary, channel_, context);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  weft::Run StartRun(const char* name) { return weft::Run(name, {.tracer = tracer_}); }

  Json MarkOf(std::string_view name) const {
    const weft::testing::RunInTree run = exporter_->Tree().FindRun(name);
    if (!run) return "no such run";
    const Json* const mark = run->metadata.if_contains(kMark);
    return mark != nullptr ? *mark : Json();
  }
};

class ContextLossFlavourTest : public ContextLossTest,
                               public ::testing::WithParamInterface<Flavour> {};

TEST_P(ContextLossFlavourTest, APlainThreadOfAHandlerLosesItAndSaysSo) {
  Serve(GetParam());
  server_->progress().during_work = [this] {
    std::thread([this] { static_cast<void>(StartRun("lost")); }).join();
    std::thread(Bind([this] { static_cast<void>(StartRun("bound")); })).join();
    std::thread(Detached([this] { static_cast<void>(StartRun("detached")); })).join();
  };
  CallOnce();
  ASSERT_TRUE(MarkOf("lost").is_object()) << exporter_->Tree();
  EXPECT_EQ(MarkOf("lost").at("method"), Json("echo.Echo/Unary"));
  EXPECT_NE(std::string_view(MarkOf("lost").at("source").as_string()).find("context_loss_test.cc:"),
            std::string_view::npos);
  EXPECT_TRUE(MarkOf("bound").is_null());
  EXPECT_TRUE(MarkOf("detached").is_null());
  EXPECT_EQ(tracer_->Stats().context_lost, 1u);
}

TEST_P(ContextLossFlavourTest, NothingIsLostBetweenCalls) {
  Serve(GetParam());
  CallOnce();
  server_->Shutdown();  // The end of a call may come after its reply.
  std::thread([this] { static_cast<void>(StartRun("root")); }).join();
  EXPECT_TRUE(MarkOf("root").is_null());
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

INSTANTIATE_TEST_SUITE_P(Flavours, ContextLossFlavourTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                           Flavour::kGenericCq, Flavour::kGenericCallback,
                                           Flavour::kFiber),
                         [](const auto& flavour) {
                           return ::testing::PrintToString(flavour.param);
                         });

TEST_F(ContextLossTest, ACallFromAPlainThreadOfAHandlerSaysSo) {
  Serve(Flavour::kSync);
  std::atomic<int> depth{0};
  server_->progress().during_work = [&] {
    if (depth++ == 0) std::thread([this] { CallOnce(); }).join();
  };
  CallOnce();
  std::size_t marked = 0;
  for (const RunRecord& run : exporter_->Runs()) {
    const Json* const mark = run.metadata.if_contains(kMark);
    if (mark == nullptr) continue;
    ++marked;
    EXPECT_FALSE(run.context.parent_id());
    EXPECT_EQ(mark->at("method"), Json("echo.Echo/Unary"));
  }
  EXPECT_EQ(marked, 1u);
}

TEST_F(ContextLossTest, FibersOfAHandlerLoseNothing) {
  Serve(Flavour::kFiber);
  server_->progress().during_work = [this] {
    boost::fibers::fiber([this] { static_cast<void>(StartRun("plain")); }).join();
    Spawn([this] { static_cast<void>(StartRun("spawned")); }).join();
  };
  CallOnce();
  EXPECT_TRUE(MarkOf("plain").is_null());  // The server's scheduler lets them inherit.
  EXPECT_TRUE(MarkOf("spawned").is_null());
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

}  // namespace
}  // namespace weft::echo_test
