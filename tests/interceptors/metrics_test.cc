// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <sstream>
#include <string>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/metrics.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Labels(const std::string& type, const std::string& service, const std::string& method) {
  return "grpc_type=\"" + type + "\",grpc_service=\"" + service + "\",grpc_method=\"" + method +
         "\"";
}

/// The value of a series in Prometheus' text; empty when it is not there.
std::string ValueOf(const std::string& text, const std::string& name, const std::string& labels) {
  const std::string series = "\n" + name + "{" + labels + "} ";
  const std::size_t begin = text.find(series);
  if (begin == text.npos) return {};
  const std::size_t value = begin + series.size();
  return text.substr(value, text.find('\n', value) - value);
}

class MetricsTest : public EchoTest {
 protected:
  void Serve(Flavour flavour, MetricsOptions options = {}) {
    EchoTest::Serve(flavour,
                    {.tracer = tracer_, .middlewares = {Metrics(server_metrics_, options)}},
                    {.tracer = tracer_, .middlewares = {Metrics(client_metrics_, options)}});
  }
  void Call(ClientApi api, RpcKind kind, const char* behaviour = kOk) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    CallEcho(api, kind, channel_, context);
  }
  void Finish() {
    channel_.reset();
    server_->Shutdown();
  }

  std::shared_ptr<MetricsRegistry> server_metrics_ = std::make_shared<MetricsRegistry>();
  std::shared_ptr<MetricsRegistry> client_metrics_ = std::make_shared<MetricsRegistry>();
};

class MetricsOfFlavour : public MetricsTest,
                         public ::testing::WithParamInterface<std::tuple<Flavour, ClientApi>> {};

TEST_P(MetricsOfFlavour, CountCallsMessagesAndCodesOnBothSides) {
  const auto [flavour, api] = GetParam();
  Serve(flavour);
  for (const RpcKind kind :
       {RpcKind::kUnary, RpcKind::kClientStream, RpcKind::kServerStream, RpcKind::kBidiStream}) {
    Call(api, kind);
    Call(api, kind, kError);
  }
  Finish();
  for (const CallSide side : {CallSide::kClient, CallSide::kServer}) {
    const bool of_client = side == CallSide::kClient;
    const std::string prefix = of_client ? "grpc_client_" : "grpc_server_";
    const std::string text = (of_client ? client_metrics_ : server_metrics_)->Prometheus();
    for (const std::string& labels :
         {Labels("unary", "echo.Echo", "Unary"), Labels("bidi_stream", "echo.Echo", "Bidi")}) {
      SCOPED_TRACE(prefix + labels);
      const auto handled = [&](const std::string& code) {
        return ValueOf(text, prefix + "handled_total", labels + ",grpc_code=\"" + code + "\"");
      };
      EXPECT_EQ(ValueOf(text, prefix + "started_total", labels), "2");
      EXPECT_EQ(handled("OK"), "1");
      EXPECT_EQ(handled("FailedPrecondition"), "1");
      EXPECT_EQ(handled("Canceled"), "0");
      EXPECT_EQ(ValueOf(text, prefix + "handling_seconds_count", labels), "2");
    }
  }
  // The handler of `error` answers at once and sends no message.
  const std::string bidi = Labels("bidi_stream", "echo.Echo", "Bidi");
  EXPECT_EQ(ValueOf(client_metrics_->Prometheus(), "grpc_client_msg_received_total", bidi), "2");
  EXPECT_EQ(ValueOf(server_metrics_->Prometheus(), "grpc_server_msg_sent_total", bidi), "2");
  const std::string unary = Labels("unary", "echo.Echo", "Unary");
  EXPECT_EQ(ValueOf(server_metrics_->Prometheus(), "grpc_server_msg_received_total", unary), "2");
}

INSTANTIATE_TEST_SUITE_P(
    All, MetricsOfFlavour,
    ::testing::Combine(::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                       ::testing::Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq)),
    [](const auto& param) {
      std::ostringstream name;
      name << std::get<0>(param.param) << '_' << std::get<1>(param.param);
      return name.str();
    });

TEST_F(MetricsTest, NamesOfPeersMakeNoLabels) {
  Serve(Flavour::kGenericCallback, {.generic_methods = {"/made.Up/Known"}});
  for (const char* method :
       {"/made.Up/Known", "/made.Up/A", "/made.Up/B", "/echo.Echo/NotThere", "no slash"}) {
    grpc::ClientContext context;
    CallMethod(method, channel_, context);
  }
  Finish();
  const std::string text = server_metrics_->Prometheus();
  const std::string started = "grpc_server_started_total";
  EXPECT_EQ(ValueOf(text, started, Labels("bidi_stream", "made.Up", "Known")), "1");
  EXPECT_EQ(ValueOf(text, started, Labels("bidi_stream", "unknown", "unknown")), "4");
  EXPECT_THAT(text, Not(HasSubstr("NotThere")));
  EXPECT_THAT(text, Not(HasSubstr("no slash")));
}

TEST_F(MetricsTest, MethodsBeyondTheLimitAreUnknownOnClientsToo) {
  Serve(Flavour::kGenericCallback, {.max_methods = 2});
  for (const char* method : {"/x.X/A", "/x.X/B", "/x.X/C", "/x.X/D"}) {
    grpc::ClientContext context;
    CallMethod(method, channel_, context);
  }
  Finish();
  const std::string text = client_metrics_->Prometheus();
  EXPECT_THAT(text, HasSubstr("grpc_service=\"x.X\",grpc_method=\"B\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("grpc_method=\"C\"")));
  EXPECT_THAT(text, HasSubstr("grpc_service=\"unknown\",grpc_method=\"unknown\"} 2\n"));
}

TEST_F(MetricsTest, AnExemplarNamesTheTraceOfACall) {
  Serve(Flavour::kSync, {.seconds = {}});
  std::string trace;
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    trace = caller.context().trace_id().ToString();
    Call(ClientApi::kSync, RpcKind::kUnary);
  }
  Finish();
  std::erase(trace, '-');
  EXPECT_THAT(server_metrics_->OpenMetrics(), HasSubstr("# {trace_id=\"" + trace + "\"}"));
  EXPECT_THAT(client_metrics_->OpenMetrics(), HasSubstr("# {trace_id=\"" + trace + "\"}"));
}

TEST_F(MetricsTest, ACallThatTheClientDropsIsCountedAsCanceled) {
  Serve(Flavour::kSync);
  DropCall(RpcKind::kBidiStream, channel_, kWait,
           [this] { EXPECT_TRUE(server_->progress().WaitForHandler()); });
  Finish();
  EXPECT_THAT(client_metrics_->Prometheus(), HasSubstr("grpc_code=\"Canceled\"} 1\n"));
  EXPECT_THAT(server_metrics_->Prometheus(), HasSubstr("grpc_code=\"Canceled\"} 1\n"));
}

TEST(MetricsSetupTest, ARegistryThatHoldsOtherMetricsOfTheNameFailsNoCall) {
  auto registry = std::make_shared<MetricsRegistry>();
  ASSERT_TRUE(registry->GetHistogram("grpc_client_started_total", "", {}, {}).ok());
  const auto middleware = Metrics(registry);
  const MethodDescription method = {.side = CallSide::kClient,
                                    .kind = RpcKind::kUnary,
                                    .full_method = "/a.B/C",
                                    .service = "a.B",
                                    .method = "C",
                                    .target = ""};
  const std::uint64_t before = GetInterceptorStats().hook_failures;
  EXPECT_NE(middleware->OnMethod(method), nullptr);
  EXPECT_EQ(GetInterceptorStats().hook_failures, before + 1);
  EXPECT_EQ(Metrics(nullptr), nullptr);
}

}  // namespace
}  // namespace weft::echo_test
