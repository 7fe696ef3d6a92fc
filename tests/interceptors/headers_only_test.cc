// SPDX-License-Identifier: Apache-2.0
// Calls that carry their parent and have neither a run nor a hook on the client.
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
#include <weft/tracing/tracing_context.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::Combine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::Values;
using weft::testing::RunTree;

constexpr char kTheirParent[] = "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001";

class HeadersOnly : public EchoTest {
 protected:
  void ServeHeadersOnly(InterceptorOptions client) {
    Serve(Flavour::kSync, {.tracer = tracer_, .middlewares = {received_}}, std::move(client));
  }
  InterceptorOptions Always() const {
    return {.tracer = tracer_, .tracing = {.headers_only = Selector()}};
  }
  grpc::Status Call(const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    return CallSync(RpcKind::kUnary, channel_, context);
  }
  RunTree Finish() {
    channel_.reset();
    server_->Shutdown();
    return exporter_->Tree();
  }
  std::uint64_t ClientCalls() const { return GetInterceptorStats().client_started - started_; }

  std::shared_ptr<ReceivedMetadata> received_ = std::make_shared<ReceivedMetadata>();

 private:
  const std::uint64_t started_ = GetInterceptorStats().client_started;
};

class HeadersOnlyApis : public HeadersOnly,
                        public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {};

TEST_P(HeadersOnlyApis, CarryTheCallersRun) {
  ServeHeadersOnly(Always());
  const auto& [api, kind] = GetParam();
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    grpc::ClientContext context;
    EXPECT_TRUE(CallEcho(api, kind, channel_, context).ok());
    EXPECT_THAT(received_->Last("langsmith-trace"),
                ElementsAre(std::string(caller.context().dotted_order())));
  }
  EXPECT_EQ(ClientCalls(), 0u);
  const RunTree tree = Finish();
  EXPECT_EQ(tree.ToString(), "caller\n  " + RunNameOf(kind) + "\n    work\n");
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<ClientApi, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, HeadersOnlyApis,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 Values(RpcKind::kUnary, RpcKind::kClientStream,
                                        RpcKind::kServerStream, RpcKind::kBidiStream)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Generic, HeadersOnlyApis,
                         Combine(Values(ClientApi::kGenericCq), Values(RpcKind::kUnary)), NameOf);

TEST_F(HeadersOnly, HeadersOfTheApplicationAreNotSentTwice) {
  ServeHeadersOnly(Always());
  const TracingContext members({.baggage = {{"tenant", "blue"}}});
  const weft::Run caller("caller", {.tracer = tracer_});
  ASSERT_TRUE(
      Call({{"langsmith-trace", kTheirParent}, {"baggage", "theirs=kept"}, {"x-other", "stays"}})
          .ok());
  EXPECT_EQ(ClientCalls(), 0u);
  EXPECT_THAT(received_->Last("langsmith-trace"), ElementsAre(kTheirParent));
  ASSERT_THAT(received_->Last("baggage"), SizeIs(1));
  EXPECT_THAT(received_->Last("baggage")[0], HasSubstr("theirs=kept"));
  EXPECT_THAT(received_->Last("x-other"), ElementsAre("stays"));
}

TEST_F(HeadersOnly, NothingIsAddedThatGrpcWouldNotSurvive) {
  ServeHeadersOnly(Always());
  const weft::Run caller("caller",
                         {.metadata = {{"large", std::string(9000, 'x')}}, .tracer = tracer_});
  EXPECT_TRUE(Call().ok());
  EXPECT_EQ(Dropped("budget-metadata"), 1u);
  EXPECT_THAT(received_->Last("langsmith-trace"), SizeIs(1));
}

TEST_F(HeadersOnly, IsDecidedByMethod) {
  ServeHeadersOnly({.tracer = tracer_, .tracing = {.headers_only = "/*/Bidi"}});
  EXPECT_TRUE(Call().ok());
  EXPECT_EQ(ClientCalls(), 1u);
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context).ok());
  EXPECT_EQ(ClientCalls(), 1u);
}

TEST_F(HeadersOnly, AMiddlewareThatWantsMoreGetsIt) {
  auto options = Always();
  options.middlewares = {std::make_shared<ReceivedMetadata>()};
  ServeHeadersOnly(std::move(options));
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    EXPECT_TRUE(Call().ok());
    EXPECT_EQ(ClientCalls(), 1u);
    EXPECT_THAT(received_->Last("langsmith-trace"),
                ElementsAre(std::string(caller.context().dotted_order())));
  }
  EXPECT_EQ(Finish().size(), 3u);
}

TEST_F(HeadersOnly, IsWhatARunOutsideOfTheSampleNeeds) {
  auto unsampled =
      Tracer::Create({.sampling_rate = 0.0, .error_promotion = false, .exporters = {exporter_}})
          .value();
  Serve(Flavour::kSync, {.tracer = unsampled, .middlewares = {received_}}, {.tracer = unsampled});
  EXPECT_TRUE(Call().ok());
  {
    const weft::Run caller("caller", {.tracer = unsampled});
    EXPECT_TRUE(Call().ok());
    EXPECT_THAT(received_->Last("langsmith-trace"),
                ElementsAre(std::string(caller.context().dotted_order())));
  }
  EXPECT_EQ(ClientCalls(), 0u);
  EXPECT_EQ(Finish().size(), 0u);
}

TEST_F(HeadersOnly, AParentThatTheApplicationNamesMayBeInTheSample) {
  Serve(Flavour::kSync, {.tracer = tracer_, .middlewares = {received_}}, {.tracer = tracer_});
  {
    auto unsampled = Tracer::Create({.sampling_rate = 0.0}).value();
    const weft::Run caller("caller", {.tracer = unsampled});
    EXPECT_TRUE(Call({{"langsmith-trace", kTheirParent}}).ok());
  }
  EXPECT_EQ(ClientCalls(), 1u);
  EXPECT_THAT(received_->Last("langsmith-trace"), ElementsAre(HasSubstr(kTheirParent)));
  EXPECT_EQ(Finish().FindRuns("echo.Echo/Unary").size(), 2u);
}

class HeadersOnlyFlavours : public HeadersOnly, public ::testing::WithParamInterface<Flavour> {
 protected:
  void ExpectNoHooks() {
    const bool generic =
        GetParam() == Flavour::kGenericCq || GetParam() == Flavour::kGenericCallback;
    const std::uint64_t before = GetInterceptorStats().server_started;
    EXPECT_TRUE(Call({{"langsmith-trace", kTheirParent}}).ok());
    EXPECT_EQ(GetInterceptorStats().server_started, generic ? before + 1 : before);
    EXPECT_TRUE(exporter_->Runs().empty());
  }
};

TEST_P(HeadersOnlyFlavours, AServerWithTracingOffSeesOnlyCallsThatHaveHeaders) {
  auto off = Tracer::Create({.enabled = false}).value();
  Serve(GetParam(), {.tracer = off, .guard_services = false}, {.tracer = off}, 1,
        /*guarded=*/false);
  const std::uint64_t before = GetInterceptorStats().server_started;
  EXPECT_TRUE(Call().ok());
  EXPECT_EQ(GetInterceptorStats().server_started, before);
  EXPECT_TRUE(Call({{"baggage", "tenant=blue"}}).ok());
  EXPECT_EQ(GetInterceptorStats().server_started, before + 1);
}

TEST_P(HeadersOnlyFlavours, AServerThatRecordsNothingNeedsNoHooks) {
  auto none =
      Tracer::Create({.sampling_rate = 0.0, .error_promotion = false, .exporters = {exporter_}})
          .value();
  for (const bool guarded : {true, false}) {
    Serve(GetParam(), {.tracer = none}, {.tracer = none}, 1, guarded);
    ExpectNoHooks();
  }
}

INSTANTIATE_TEST_SUITE_P(All, HeadersOnlyFlavours,
                         Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                Flavour::kGenericCq, Flavour::kGenericCallback),
                         [](const auto& flavour) {
                           std::ostringstream name;
                           name << flavour.param;
                           return name.str();
                         });

TEST_F(HeadersOnly, IsWhatATracerThatIsOffNeeds) {
  auto off = Tracer::Create({.enabled = false}).value();
  Serve(Flavour::kSync, {.tracer = off, .middlewares = {received_}}, {.tracer = off});
  EXPECT_TRUE(Call().ok());
  EXPECT_THAT(received_->Last("langsmith-trace"), IsEmpty());
  EXPECT_TRUE(Call({{"langsmith-trace", kTheirParent}}).ok());
  EXPECT_THAT(received_->Last("langsmith-trace"), ElementsAre(kTheirParent));
  EXPECT_EQ(ClientCalls(), 0u);
}

}  // namespace
}  // namespace weft::echo_test
