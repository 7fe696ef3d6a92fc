// SPDX-License-Identifier: Apache-2.0
// Targets that move to another address, or get another certificate, while the collector runs.
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>

#include <weft/collector/collector.h>
#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/run.h>

#include "destination_support.h"
#include "tls_support.h"
#include "tracing/https_server.h"
#include "tracing/otlp_receiver.h"

namespace {

constexpr char kName[] = "target.weft.test";

// Where kName is. Nobody listens at 127.0.0.2.
std::atomic<const char*> address_of_name{"127.0.0.2"};
std::atomic<int> times_asked{0};

}  // namespace

// In front of the C library's.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** found) {
  static const auto real =
      reinterpret_cast<decltype(&::getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (node == nullptr || std::string_view(node) != kName) return real(node, service, hints, found);
  const int result = real(address_of_name, service, hints, found);
  ++times_asked;
  times_asked.notify_all();
  return result;
}

namespace weft::collector {
namespace {

using ::testing::HasSubstr;

class DestNetworkTest : public DestinationTest {
 protected:
  void SetUp() override {
    DestinationTest::SetUp();
    address_of_name = "127.0.0.2";
  }

  static void AskTheNameServiceFromGrpc() {
    // gRPC's own way to ask needs a name server.
    ::setenv("GRPC_DNS_RESOLVER", "native", 1);
  }

  std::string Save(const char* name, const std::string& pem) const {
    return WriteText(directory_.path() / name, pem).string();
  }
  static echo_test::Certificate Make() {
    return echo_test::MakeCertificate("localhost", "DNS:localhost,IP:127.0.0.1");
  }

  void Reload(const DestinationConfig& config) {
    const auto commit = destination_->PrepareReload(config);
    ASSERT_TRUE(commit.ok()) << commit.status();
    (*commit)();
  }

  // A run that cannot be sent, before the target moves, arrives.
  void ExpectItIsFound(const DestinationConfig& config) {
    DestinationOptions options = Options();
    options.max_open = std::chrono::milliseconds(1);
    AppendRuns(1, 1);
    StartDestination(config, std::move(options));
    ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return !stats.errors.empty(); }));
    address_of_name = "127.0.0.1";
    EXPECT_TRUE(WaitForDelivered(1));
  }
};

TEST_F(DestNetworkTest, LangSmithIsFoundAtItsNewAddress) {
  const auto langsmith = weft::testing::FakeLangSmith::Start();
  const std::string port = langsmith->url().substr(langsmith->url().rfind(':'));
  ExpectItIsFound({DestinationConfig::Kind::kLangSmith, "http://" + std::string(kName) + port, ""});
}

TEST_F(DestNetworkTest, AReceiverOfOtlpIsFoundAtItsNewAddress) {
  AskTheNameServiceFromGrpc();
  otlp_test::GrpcReceiver receiver;
  DestinationConfig config;
  config.kind = DestinationConfig::Kind::kOtlp;
  config.target = "grpc://" + std::string(kName) + ":" + std::to_string(receiver.port());
  ExpectItIsFound(config);
}

// A program's runs, on their way to its collector.
TEST_F(DestNetworkTest, ACollectorIsFoundAtItsNewAddress) {
  AskTheNameServiceFromGrpc();
  CollectorConfig config;
  config.data = directory_.path() / "collector";
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  config.min_free = 0;
  const auto collector = Collector::Start(std::move(config));
  ASSERT_TRUE(collector.ok()) << collector.status();
  const std::string address = (*collector)->addresses().grpc;
  const auto exporter =
      CollectorExporter::Create({.target = kName + address.substr(address.rfind(':'))}).value();
  const auto tracer = Tracer::Create({.exporters = {exporter}}).value();
  const int asked = times_asked;
  { const weft::Run run("early", {.tracer = tracer}); }
  times_asked.wait(asked);
  address_of_name = "127.0.0.1";
  EXPECT_TRUE(tracer->Flush(std::chrono::seconds(20))) << "gRPC asks again after 30 s by itself";
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
}

// Its connections end with each answer.
TEST_F(DestNetworkTest, LangSmithsNewCertificateIsBelievedAfterAReload) {
  const echo_test::Certificate before = Make(), after = Make();
  HttpsServer server(before);
  DestinationConfig config{DestinationConfig::Kind::kLangSmith, server.url(), ""};
  config.ca_file = Save("target.pem", before.pem);
  AppendRuns(1, 1);
  StartDestination(config, Options());
  ASSERT_TRUE(WaitForDelivered(1));

  server.Use(after);
  AppendRuns(2, 1);
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return !stats.errors.empty(); }))
      << "who has the target's address is not believed without its certificate";
  Save("target.pem", after.pem);
  Reload(config);
  EXPECT_TRUE(WaitForDelivered(2));

  const echo_test::Certificate other = Make();
  server.Use(other);
  config.ca_file = Save("other.pem", other.pem);
  Reload(config);
  AppendRuns(3, 1);
  EXPECT_TRUE(WaitForDelivered(3));
}

TEST_F(DestNetworkTest, TheNewCertificateOfAReceiverOfOtlpIsBelievedAfterAReload) {
  const TestIssuer before("before"), after("after");
  CollectorConfig target;
  target.data = directory_.path() / "target";
  target.listen_grpc = target.listen_otlp_http = target.listen_http = "127.0.0.1:0";
  target.min_free = 0;
  const auto issue = [&](const TestIssuer& issuer) {
    const TestIssuer::Issued issued = issuer.Issue("target");
    target.tls.cert = WriteText(directory_.path() / "target.crt", issued.cert);
    target.tls.key = WriteText(directory_.path() / "target.key", issued.key);
    return Save("roots.pem", issuer.cert());
  };
  DestinationConfig config;
  config.kind = DestinationConfig::Kind::kOtlp;
  config.ca_file = issue(before);
  auto collector = Collector::Start(target);
  ASSERT_TRUE(collector.ok()) << collector.status();
  config.target = "grpcs://" + (*collector)->addresses().grpc;
  DestinationOptions options = Options();
  options.max_open = std::chrono::milliseconds(1);
  AppendRuns(1, 1);
  StartDestination(config, std::move(options));
  ASSERT_TRUE(WaitForDelivered(1));

  issue(after);
  ASSERT_TRUE((*collector)->Reload(target).ok());
  Reload(config);
  AppendRuns(2, 1);
  EXPECT_TRUE(WaitForDelivered(2));
  EXPECT_THAT((*collector)->Metrics(), HasSubstr("weft_logged_runs_total{receiver=\"otlp\"} 2\n"));
}

}  // namespace
}  // namespace weft::collector
