// SPDX-License-Identifier: Apache-2.0
// Errors of traces that are out of the sample, told to the services around.
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::Combine;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::IsEmpty;
using ::testing::Values;
using weft::testing::InMemoryExporter;

constexpr char kKeep[] = "weft-keep";

/// Caller and server each with a tracer of its own, as in two processes. Nothing is in the sample.
class Promotion : public EchoTest {
 protected:
  using Run = weft::Run;  // Not GoogleTest's Test::Run.

  static std::shared_ptr<Tracer> Make(const std::shared_ptr<Exporter>& exporter, double rate = 0) {
    return Tracer::Create({.sampling_rate = rate,
                           .open_run_delay = std::chrono::hours(1),
                           .exporters = {exporter}})
        .value();
  }

  void Serve(Flavour flavour, TracingOptions server = {}, TracingOptions client = {}) {
    EchoTest::Serve(flavour,
                    {.tracer = far_, .tracing = std::move(server), .middlewares = {received_}},
                    {.tracer = near_, .tracing = std::move(client)});
  }

  grpc::Status Call(RpcKind kind = RpcKind::kUnary, const std::string& asked = kOk) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, asked);
    grpc::Status status = CallSync(kind, channel_, context);
    const auto& trailers = context.GetServerTrailingMetadata();
    told_ = trailers.count(kKeep) == 1 && trailers.find(kKeep)->second == "1";
    return status;
  }

  /// A handler whose work fails in a part, and which answers all the same.
  void FailInTheHandler() {
    server_->progress().during_work = [] {
      Run bad("bad");
      bad.SetError("broken");
    };
  }

  void Finish() {
    channel_.reset();
    server_->Shutdown();
  }
  std::string NearTree() const { return near_exporter_->Tree().ToString(); }
  /// Without the run that the body of a callback method is.
  std::string FarTree() const {
    std::vector<RunRecord> runs = exporter_->Runs();
    std::erase_if(runs, [](const RunRecord& run) { return run.DisplayName() == "body"; });
    return weft::testing::RunTree(std::move(runs)).ToString();
  }

  const std::shared_ptr<InMemoryExporter> near_exporter_ = std::make_shared<InMemoryExporter>();
  std::shared_ptr<Tracer> near_ = Make(near_exporter_);
  std::shared_ptr<Tracer> far_ = Make(exporter_);
  const std::shared_ptr<ReceivedMetadata> received_ = std::make_shared<ReceivedMetadata>();
  bool told_ = false;
};

class PromotionEverywhere : public Promotion,
                            public ::testing::WithParamInterface<std::tuple<Flavour, RpcKind>> {};

TEST_P(PromotionEverywhere, AnErrorBelowReachesTheCallersAbove) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour);
  FailInTheHandler();
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call(kind).ok());
  }
  EXPECT_TRUE(told_);
  Finish();
  const std::string name = RunNameOf(kind);
  EXPECT_EQ(NearTree(), "caller\n  " + name + "\n");
  EXPECT_EQ(FarTree(), name + "\n  work\n    bad !broken\n");
  EXPECT_EQ(near_->Stats().keeps_received, 1u);
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_TRUE(run.keep);
    EXPECT_EQ(run.AllMetadata().at("weft_promoted"), Json(true));
  }
}

TEST_P(PromotionEverywhere, AKeptTraceIsToldToTheServicesBelow) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour);
  {
    Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call(kind).ok());
    EXPECT_THAT(received_->Last(kKeep), IsEmpty());
    caller.Keep();
    EXPECT_TRUE(Call(kind).ok());
    EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
  }
  EXPECT_TRUE(told_);
  Finish();
  // The server still has the first call.
  const std::string name = RunNameOf(kind);
  EXPECT_EQ(NearTree(), "caller\n  " + name + "\n  " + name + "\n");
  EXPECT_EQ(FarTree(), name + "\n  work\n" + name + "\n  work\n");
  EXPECT_EQ(far_->Stats().keeps_received, 1u);
}

TEST_P(PromotionEverywhere, GoodCallsLeaveNothing) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour);
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call(kind).ok());
  }
  EXPECT_FALSE(told_);
  Finish();
  EXPECT_EQ(NearTree(), "");
  EXPECT_EQ(FarTree(), "");
  EXPECT_GT(near_->Stats().held_bytes, 0u);
  EXPECT_GT(far_->Stats().held_bytes, 0u);
}

TEST_P(PromotionEverywhere, AStatusThatIsTheServersFaultIsAnError) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour);
  EXPECT_FALSE(Call(kind, kErrorAfterFirst).ok());
  EXPECT_TRUE(told_);
  EXPECT_FALSE(Call(kind, kError).ok());
  // The caller may take it for one.
  EXPECT_FALSE(told_);
  Finish();
  EXPECT_EQ(near_exporter_->Runs().size(), 2u);
  EXPECT_EQ(FarTree(), RunNameOf(kind) + " !INTERNAL: half way\n  work\n");
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Flavour, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, PromotionEverywhere,
                         Combine(Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                        Flavour::kGenericCq, Flavour::kGenericCallback,
                                        Flavour::kFiber),
                                 Values(RpcKind::kUnary, RpcKind::kBidiStream)),
                         NameOf);

class PromotionClients : public Promotion,
                         public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {};

TEST_P(PromotionClients, EveryKindOfClientIsTold) {
  Serve(Flavour::kSync);
  FailInTheHandler();
  const auto& [api, kind] = GetParam();
  {
    const Run caller("caller", {.tracer = near_});
    grpc::ClientContext context;
    EXPECT_TRUE(CallEcho(api, kind, channel_, context).ok());
  }
  Finish();
  EXPECT_EQ(NearTree(), "caller\n  " + RunNameOf(kind) + "\n");
}

std::string NameOfClient(const ::testing::TestParamInfo<std::tuple<ClientApi, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, PromotionClients,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 Values(RpcKind::kUnary, RpcKind::kClientStream,
                                        RpcKind::kServerStream, RpcKind::kBidiStream)),
                         NameOfClient);

class PromotionWithoutServerRuns : public Promotion,
                                   public ::testing::WithParamInterface<Flavour> {};

TEST_P(PromotionWithoutServerRuns, TellsTheCallerWhatFailedBelow) {
  Serve(GetParam(), {.server_runs = false});
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_FALSE(told_);
    FailInTheHandler();
    EXPECT_TRUE(Call().ok());
    EXPECT_TRUE(told_);
    EXPECT_TRUE(caller.kept());
  }
  Finish();
  EXPECT_EQ(exporter_->Tree().FindRuns("bad").size(), 1u);
}

TEST_P(PromotionWithoutServerRuns, HearsTheCaller) {
  Serve(GetParam(), {.server_runs = false});
  bool kept = false;
  server_->progress().during_work = [&] {
    kept = CurrentRun().kept();
    const Run step("step");
  };
  {
    Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_FALSE(kept);
    caller.Keep();
    EXPECT_TRUE(Call().ok());
  }
  EXPECT_TRUE(kept);
  EXPECT_TRUE(told_);
  Finish();
  // Those of the first call, too, which were held.
  EXPECT_EQ(exporter_->Tree().FindRuns("step").size(), 2u);
  EXPECT_EQ(far_->Stats().keeps_received, 1u);
}

INSTANTIATE_TEST_SUITE_P(All, PromotionWithoutServerRuns,
                         Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq, Flavour::kFiber),
                         [](const auto& param) {
                           std::ostringstream name;
                           name << param.param;
                           return name.str();
                         });

TEST_F(Promotion, AServerWithoutRunsPassesOnWhatItHearsFromBelow) {
  Serve(Flavour::kSync);
  FailInTheHandler();
  // Between them one that makes no run of either side.
  const auto middle_exporter = std::make_shared<InMemoryExporter>();
  const auto middle_tracer = Make(middle_exporter);
  const TracingOptions without{.client_runs = false, .server_runs = false};
  EchoServer middle(Flavour::kSync, {.tracer = middle_tracer, .tracing = without});
  const auto onwards = CreateChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                     {.tracer = middle_tracer, .tracing = without});
  middle.progress().during_work = [&] {
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(RpcKind::kUnary, onwards, context).ok());
  };
  channel_ = CreateChannel(middle.address(), grpc::InsecureChannelCredentials(), {.tracer = near_});
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_TRUE(told_);
    EXPECT_TRUE(caller.kept());
    // From now on it tells what it heard.
    EXPECT_TRUE(Call().ok());
    EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
  }
  middle.Shutdown();
  EXPECT_EQ(middle_tracer->Stats().keeps_received, 2u);
  EXPECT_EQ(near_exporter_->Tree().FindRuns("caller").size(), 1u);
}

TEST_F(Promotion, WithTracingOffItIsStillToldToTheServicesBelow) {
  Serve(Flavour::kSync);
  const auto off = Tracer::Create({.enabled = false}).value();
  EchoServer middle(Flavour::kSync, {.tracer = off});
  const auto onwards =
      CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), {.tracer = off});
  middle.progress().during_work = [&] {
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(RpcKind::kUnary, onwards, context).ok());
  };
  channel_ = CreateChannel(middle.address(), grpc::InsecureChannelCredentials(), {.tracer = near_});
  Run caller("caller", {.tracer = near_});
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last(kKeep), IsEmpty());
  EXPECT_THAT(received_->Last("langsmith-trace").size(), 1u);
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
  middle.Shutdown();
}

TEST_F(Promotion, CallsWithoutClientRunsHear) {
  Serve(Flavour::kSync, {}, {.client_runs = false});
  FailInTheHandler();
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call(RpcKind::kBidiStream).ok());
    EXPECT_TRUE(caller.kept());
  }
  Finish();
  EXPECT_EQ(NearTree(), "caller\n");
  EXPECT_EQ(near_->Stats().keeps_received, 1u);
}

TEST_F(Promotion, OfHeadersOnlyUnaryCallsHearForWhatIsHeld) {
  Serve(Flavour::kSync, {}, {.headers_only = Selector()});
  FailInTheHandler();
  {
    const Run streaming("streaming", {.tracer = near_});
    const std::uint64_t before = GetInterceptorStats().client_started;
    EXPECT_TRUE(Call(RpcKind::kBidiStream).ok());
    EXPECT_FALSE(streaming.kept());
    EXPECT_EQ(GetInterceptorStats().client_started, before);
  }
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_TRUE(caller.kept());
  }
  Finish();
  EXPECT_EQ(NearTree(), "caller\n");
}

TEST_F(Promotion, AParentThatTheApplicationWroteIsNotTheCurrentRunsTrace) {
  Serve(Flavour::kSync, {}, {.client_runs = false});
  FailInTheHandler();
  const Run caller("caller", {.tracer = near_});
  grpc::ClientContext context;
  context.AddMetadata("langsmith-trace",
                      "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001");
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  EXPECT_FALSE(caller.kept());
}

TEST_F(Promotion, AProcessThatSamplesEverythingPassesItOn) {
  far_ = Make(exporter_, 1.0);
  Serve(Flavour::kSync);
  FailInTheHandler();
  {
    const Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_TRUE(told_);
    EXPECT_TRUE(Call().ok());
    EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
  }
  Finish();
  EXPECT_EQ(near_exporter_->Runs().size(), 3u);
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_FALSE(run.AllMetadata().contains("weft_promoted"));
  }
}

TEST_F(Promotion, CallersThatAreNotTrustedAreNeitherHeardNorTold) {
  Serve(Flavour::kSync, {.trust = {.otherwise = CallerTrust::kLink}});
  {
    Run caller("caller", {.tracer = near_});
    caller.Keep();
    EXPECT_TRUE(Call().ok());
    EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
    EXPECT_EQ(far_->Stats().keeps_ignored, 1u);
    EXPECT_EQ(far_->Stats().keeps_received, 0u);
    FailInTheHandler();
    EXPECT_TRUE(Call().ok());
    EXPECT_FALSE(told_);
  }
  Finish();
  EXPECT_EQ(FarTree(), RunNameOf(RpcKind::kUnary) + "\n  work\n    bad !broken\n");
}

TEST_F(Promotion, ServersThatAreNotToldEverythingAreNeitherToldNorHeard) {
  Serve(Flavour::kSync, {}, {.disclosure = {.otherwise = Disclosure::kIds}});
  FailInTheHandler();
  {
    Run caller("caller", {.tracer = near_});
    EXPECT_TRUE(Call().ok());
    EXPECT_TRUE(told_);
    EXPECT_EQ(near_->Stats().keeps_ignored, 1u);
    EXPECT_FALSE(caller.kept());
    caller.Keep();
    EXPECT_TRUE(Call().ok());
    EXPECT_THAT(received_->Last(kKeep), IsEmpty());
  }
}

TEST_F(Promotion, APeerMayHaveOnlySoManyTracesKept) {
  Serve(Flavour::kSync, {.keep_signals_per_second = 1e-6});
  const auto call = [&] {
    Run caller("caller", {.tracer = near_});
    caller.Keep();
    EXPECT_TRUE(Call().ok());
    // A trace that is kept already is free.
    EXPECT_TRUE(Call().ok());
  };
  call();
  EXPECT_EQ(far_->Stats().keeps_received, 2u);
  EXPECT_EQ(far_->Stats().keeps_limited, 0u);
  call();
  EXPECT_EQ(far_->Stats().keeps_received, 2u);
  EXPECT_EQ(far_->Stats().keeps_limited, 2u);
  Finish();
  EXPECT_EQ(exporter_->Runs().size(), 4u);
}

TEST_F(Promotion, WithoutServerRunsATraceThatIsKeptIsFreeToo) {
  Serve(Flavour::kSync, {.server_runs = false, .keep_signals_per_second = 1e-6});
  Run caller("caller", {.tracer = near_});
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_TRUE(Call().ok());
  EXPECT_TRUE(told_);
  EXPECT_EQ(far_->Stats().keeps_received, 2u);
  Run other("other", {.parent = kNoParent, .tracer = near_});
  other.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_FALSE(told_);
  EXPECT_EQ(far_->Stats().keeps_limited, 1u);
}

TEST_F(Promotion, NoneAreKeptForPeersAtARateOfZero) {
  Serve(Flavour::kSync, {.keep_signals_per_second = 0});
  Run caller("caller", {.tracer = near_});
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_EQ(far_->Stats().keeps_limited, 1u);
}

TEST_F(Promotion, WhatTheApplicationSendsOnByAccidentStaysHere) {
  Serve(Flavour::kSync);
  const Run caller("caller", {.tracer = near_});
  grpc::ClientContext context;
  context.AddMetadata(kKeep, "1");
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  EXPECT_THAT(received_->Last(kKeep), IsEmpty());
}

TEST_F(Promotion, ACallThatOnlyCarriesHeadersCarriesThisOneToo) {
  Serve(Flavour::kSync, {}, {.headers_only = Selector()});
  Run caller("caller", {.tracer = near_});
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
}

TEST_F(Promotion, ServicesOfOpenTelemetryAreToldByTheirFlag) {
  Serve(Flavour::kSync, {}, {.propagation = Propagation::kBoth});
  Run caller("caller", {.tracer = near_});
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("traceparent"), ElementsAre(EndsWith("-00")));
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("traceparent"), ElementsAre(EndsWith("-01")));
}

TEST_F(Promotion, OtherWordsThanOneAreNone) {
  Serve(Flavour::kSync, {}, {});
  channel_ = CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), {});
  for (const char* const value : {"0", "true", "11"}) {
    grpc::ClientContext context;
    context.AddMetadata("langsmith-trace",
                        "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001");
    context.AddMetadata(kKeep, value);
    EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  }
  EXPECT_EQ(far_->Stats().keeps_received, 0u);
  Finish();
  EXPECT_EQ(FarTree(), "");
}

TEST_F(Promotion, TheHeaderHasRoomInAFullBudget) {
  Serve(Flavour::kSync);
  Run caller("caller",
             {.metadata = {{"large", std::string(9000, 'x')}, {"small", 1}}, .tracer = near_});
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last(kKeep), ElementsAre("1"));
  EXPECT_EQ(received_->Last("langsmith-trace").size(), 1u);
}

TEST_F(Promotion, ARuleMayNameTheMethodOfACall) {
  far_ = Tracer::Create({.sampling_rate = 0.0,
                         .sampling_rules = {{.method = "/echo.Echo/Un*"}},
                         .exporters = {exporter_}})
             .value();
  Serve(Flavour::kSync, {.run_name = [](const MethodDescription&) { return "renamed"; }});
  EXPECT_TRUE(Call(RpcKind::kUnary).ok());
  EXPECT_TRUE(Call(RpcKind::kBidiStream).ok());
  Finish();
  EXPECT_EQ(FarTree(), "renamed\n  work\n");
}

TEST_F(Promotion, SwitchedOffNobodyIsToldOrHeard) {
  far_ = Tracer::Create({.sampling_rate = 1.0, .error_promotion = false, .exporters = {exporter_}})
             .value();
  Serve(Flavour::kSync);
  FailInTheHandler();
  Run caller("caller", {.tracer = near_});
  caller.Keep();
  EXPECT_TRUE(Call().ok());
  EXPECT_FALSE(told_);
  EXPECT_EQ(far_->Stats().keeps_received, 0u);
}

}  // namespace
}  // namespace weft::echo_test
