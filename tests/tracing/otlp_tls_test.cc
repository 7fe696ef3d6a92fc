// SPDX-License-Identifier: Apache-2.0
// Whom exporters believe.
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <weft/tracing/langsmith_exporter.h>
#include <weft/tracing/otlp_exporter.h>

#include "environment.h"
#include "export_records.h"
#include "https_server.h"
#include "otlp_receiver.h"
#include "temporary_folder.h"

namespace weft::otlp_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class TlsTest : public ::testing::Test {
 protected:
  static echo_test::Certificate Make() {
    return echo_test::MakeCertificate("localhost", "DNS:localhost,IP:127.0.0.1");
  }
  std::string Save(const char* name, const echo_test::Certificate& certificate) const {
    const std::string path = (folder_.path() / name).string();
    std::ofstream(path) << certificate.pem;
    return path;
  }
  /// What OTEL_EXPORTER_OTLP_* make of a receiver.
  static OtlpExporterOptions Options(const std::string& protocol, const std::string& endpoint,
                                     const std::string& certificate) {
    const std::map<std::string, std::string> variables = {
        {"LANGSMITH_TRACING", "true"},
        {"LANGSMITH_OTEL_ONLY", "true"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL", protocol},
        {"OTEL_EXPORTER_OTLP_ENDPOINT", endpoint},
        {"OTEL_EXPORTER_OTLP_CERTIFICATE", certificate}};
    const auto settings = internal::ReadEnvironment([&](const char* name) {
      const auto found = variables.find(name);
      return found != variables.end() ? found->second.c_str() : nullptr;
    });
    EXPECT_TRUE(settings.ok()) << settings.status();
    OtlpExporterOptions options = settings->otlp->exporter;
    options.flush_interval = milliseconds(5);
    options.retry_for = milliseconds(200);
    return options;
  }
  template <typename Exporter, typename Options>
  static ExporterStats SendOne(Options options) {
    const auto exporter = Exporter::Create(std::move(options)).value();
    exporter->Export(MakeRecord("run"));
    EXPECT_TRUE(exporter->Flush(seconds(20)));
    return exporter->Stats();
  }

  const Folder folder_;
  const echo_test::Certificate ours_ = Make();
  const std::string good_ = Save("good.pem", ours_);
  const std::string bad_ = Save("bad.pem", Make());
};

TEST_F(TlsTest, OtlpOverHttpBelievesTheAuthorityThatItWasTold) {
  for (const char* const protocol : {"http/protobuf", "http/json"}) {
    const HttpsServer server(ours_);
    EXPECT_EQ(SendOne<OtlpExporter>(Options(protocol, server.url(), good_)).acknowledged, 1u);
    ASSERT_THAT(server.Posts(), SizeIs(1));
    EXPECT_EQ(server.Posts()[0].first, "/v1/traces");
  }
}

TEST_F(TlsTest, OtlpOverHttpBelievesNoOther) {
  const HttpsServer server(ours_);
  EXPECT_EQ(SendOne<OtlpExporter>(Options("http/protobuf", server.url(), bad_)).dropped_expired,
            1u);
  EXPECT_EQ(SendOne<OtlpExporter>(Options("http/protobuf", server.url(), "")).dropped_expired, 1u);
  EXPECT_THAT(server.Posts(), IsEmpty());
}

TEST_F(TlsTest, OtlpOverGrpcBelievesOnlyTheAuthorityThatItWasTold) {
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({ours_.key, ours_.pem});
  const GrpcReceiver receiver(-1, grpc::SslServerCredentials(tls));
  const std::string endpoint = "https://127.0.0.1:" + std::to_string(receiver.port());
  EXPECT_EQ(SendOne<OtlpExporter>(Options("grpc", endpoint, bad_)).dropped_expired, 1u);
  EXPECT_EQ(receiver.requests(), 0u);
  OtlpExporterOptions good = Options("grpc", endpoint, good_);
  good.retry_for = seconds(20);
  EXPECT_EQ(SendOne<OtlpExporter>(std::move(good)).acknowledged, 1u);
}

TEST_F(TlsTest, LangSmithIsBelievedWithTheFileOfTheEnvironment) {
  const HttpsServer server(ours_);
  LangSmithExporterOptions options;
  options.endpoint = server.url();
  options.flush_interval = milliseconds(5);
  options.retry_for = milliseconds(200);
  unsetenv("SSL_CERT_FILE");
  EXPECT_EQ(SendOne<LangSmithExporter>(options).dropped_expired, 1u);
  setenv("SSL_CERT_FILE", bad_.c_str(), 1);
  EXPECT_EQ(SendOne<LangSmithExporter>(options).dropped_expired, 1u);
  EXPECT_THAT(server.Posts(), IsEmpty());
  setenv("SSL_CERT_FILE", good_.c_str(), 1);
  options.retry_for = seconds(20);
  EXPECT_EQ(SendOne<LangSmithExporter>(options).acknowledged, 1u);
  EXPECT_THAT(server.Posts(), SizeIs(1));
  unsetenv("SSL_CERT_FILE");
}

}  // namespace
}  // namespace weft::otlp_test
