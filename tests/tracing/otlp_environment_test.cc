// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_collector.h>
#include <weft/tracing/run.h>

#include "environment.h"
#include "otlp_receiver.h"

namespace weft::otlp_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using Variables = std::map<std::string, std::string>;

constexpr char kEndpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT";
constexpr char kTracesEndpoint[] = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
constexpr char kHeaders[] = "OTEL_EXPORTER_OTLP_HEADERS";
const Variables kOn = {{"LANGSMITH_TRACING", "true"}, {"LANGSMITH_OTEL_ENABLED", "true"}};
const Variables kGrpc = {{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}};

Variables With(Variables all, const Variables& more) {
  for (const auto& variable : more) all.insert(variable);
  return all;
}

absl::StatusOr<internal::EnvironmentSettings> Read(const Variables& variables) {
  return internal::ReadEnvironment([&](const char* name) {
    const auto found = variables.find(name);
    return found != variables.end() ? found->second.c_str() : nullptr;
  });
}

OtlpExporterOptions Options(const Variables& more) {
  const auto settings = Read(With(kOn, more));
  EXPECT_TRUE(settings.ok()) << settings.status();
  if (!settings.ok() || !settings->otlp) return {};
  return settings->otlp->exporter;
}

std::string Refusal(const Variables& more) {
  const auto settings = Read(With(kOn, more));
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(settings.status().message());
}

enum class Mode { kOff, kHybrid, kOnly };

Mode ModeOf(const Variables& variables) {
  const auto settings = Read(With({{"LANGSMITH_TRACING", "true"}}, variables));
  if (!settings->otlp) return Mode::kOff;
  return settings->otlp->only ? Mode::kOnly : Mode::kHybrid;
}

TEST(OtlpEnvironmentTest, KnowsTheModesOfTheSdks) {
  EXPECT_EQ(ModeOf({}), Mode::kOff);
  EXPECT_EQ(ModeOf({{kEndpoint, "http://h:4318"}}), Mode::kOff);
  EXPECT_EQ(ModeOf({{"LANGSMITH_OTEL_ENABLED", "true"}}), Mode::kHybrid);
  EXPECT_EQ(ModeOf({{"LANGCHAIN_OTEL_ENABLED", "true"}}), Mode::kHybrid);
  EXPECT_EQ(ModeOf({{"LANGSMITH_OTEL_ONLY", "true"}}), Mode::kOnly);
  EXPECT_EQ(ModeOf({{"LANGSMITH_TRACING_MODE", "otel"}}), Mode::kOnly);
  EXPECT_EQ(ModeOf({{"LANGSMITH_TRACING_MODE", "hybrid"}}), Mode::kHybrid);
  EXPECT_EQ(ModeOf({{"LANGSMITH_TRACING_MODE", "langsmith"}, {"LANGSMITH_OTEL_ONLY", "true"}}),
            Mode::kOff);
  EXPECT_EQ(ModeOf({{"LANGSMITH_OTEL_ONLY", "true"}, {"OTEL_SDK_DISABLED", "TRUE"}}), Mode::kOff);
}

TEST(OtlpEnvironmentTest, GoesToThisMachineByDefault) {
  const OtlpExporterOptions options = Options({});
  EXPECT_EQ(options.protocol, OtlpProtocol::kHttpProtobuf);
  EXPECT_THAT(options.endpoint, IsEmpty());
  EXPECT_THAT(options.headers, IsEmpty());
  EXPECT_EQ(options.timeout, std::chrono::seconds(10));
  EXPECT_EQ(options.compression, OtlpCompression::kNone);
}

TEST(OtlpEnvironmentTest, AddsThePathOfTracesToTheCommonEndpointOnly) {
  EXPECT_EQ(Options({{kEndpoint, "http://h:4318"}}).endpoint, "http://h:4318/v1/traces");
  EXPECT_EQ(Options({{kEndpoint, "https://h/otlp/"}}).endpoint, "https://h/otlp/v1/traces");
  EXPECT_EQ(Options({{kEndpoint, "http://h:1"}, {kTracesEndpoint, "http://t/x"}}).endpoint,
            "http://t/x");
  EXPECT_EQ(Options(With(kGrpc, {{kEndpoint, "http://h:4317"}})).endpoint, "http://h:4317");
  EXPECT_THAT(Refusal({{kEndpoint, "http://h:4318/v1/traces"}}),
              AllOf(HasSubstr("OTEL_EXPORTER_OTLP_ENDPOINT: \"http://h:4318/v1/traces\""),
                    HasSubstr(kTracesEndpoint)));
}

TEST(OtlpEnvironmentTest, GoesToLangSmithWhenOnlyThatIsNamed) {
  const Variables langsmith = {{"WEFT_COLLECTOR", "h:1"},
                               {"LANGSMITH_ENDPOINT", "https://ls.example/api/v1/"},
                               {"LANGSMITH_API_KEY", "k-1"}};
  const OtlpExporterOptions options = Options(langsmith);
  EXPECT_EQ(options.endpoint, "https://ls.example/api/v1/otel/v1/traces");
  EXPECT_THAT(options.headers, ElementsAre(Pair("x-api-key", "k-1")));
  EXPECT_THAT(Options(With(langsmith, {{kHeaders, "X-Api-Key=other"}})).headers,
              ElementsAre(Pair("X-Api-Key", "other")));
  EXPECT_THAT(Options(With(langsmith, {{kEndpoint, "http://h:1"}})).headers, IsEmpty());
  EXPECT_THAT(Options(With(langsmith, kGrpc)).endpoint, IsEmpty());
}

TEST(OtlpEnvironmentTest, NeedsNoOtherTargetWhenSpansAreAll) {
  const auto settings = Read({{"LANGSMITH_TRACING", "true"},
                              {"LANGSMITH_OTEL_ONLY", "true"},
                              {"LANGSMITH_ENDPOINT", "https://ls.example"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->otlp->exporter.endpoint, "https://ls.example/otel/v1/traces");
}

TEST(OtlpEnvironmentTest, ReadsEveryVariable) {
  const std::string file = ::testing::TempDir() + "otlp_environment_" + std::to_string(getpid());
  std::ofstream(file) << "pem";
  const OtlpExporterOptions options =
      Options({{"OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC"},
               {kEndpoint, "h:4317"},
               {"OTEL_EXPORTER_OTLP_INSECURE", "True"},
               {kHeaders, "api-key=k%20ey , other = v=w,"},
               {"OTEL_EXPORTER_OTLP_TIMEOUT", "2500"},
               {"LANGSMITH_OTEL_SPAN_TTL_SECONDS", "90"},
               {"OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"},
               {"OTEL_EXPORTER_OTLP_CERTIFICATE", file},
               {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", file},
               {"OTEL_EXPORTER_OTLP_CLIENT_KEY", file},
               {"OTEL_SERVICE_NAME", "writer"},
               {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other,host.name=h%2C1"}});
  EXPECT_EQ(options.protocol, OtlpProtocol::kGrpc);
  EXPECT_EQ(options.endpoint, "h:4317");
  EXPECT_TRUE(options.insecure);
  EXPECT_THAT(options.headers, ElementsAre(Pair("api-key", "k ey"), Pair("other", "v=w")));
  EXPECT_EQ(options.timeout, std::chrono::milliseconds(2500));
  EXPECT_EQ(options.max_open, std::chrono::seconds(90));
  EXPECT_EQ(options.compression, OtlpCompression::kGzip);
  EXPECT_EQ(options.certificate, file);
  EXPECT_EQ(options.client_certificate, file);
  EXPECT_EQ(options.client_key, file);
  EXPECT_EQ(options.resource, (JsonObject{{"service.name", "writer"}, {"host.name", "h,1"}}));
  ::unlink(file.c_str());
}

TEST(OtlpEnvironmentTest, PutsTheVariablesOfTracesFirst) {
  const OtlpExporterOptions options =
      Options({{"OTEL_EXPORTER_OTLP_TIMEOUT", "1"},
               {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2"},
               {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
               {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"},
               {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"},
               {"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}});
  EXPECT_EQ(options.timeout, std::chrono::milliseconds(2));
  EXPECT_EQ(options.compression, OtlpCompression::kNone);
  EXPECT_EQ(options.protocol, OtlpProtocol::kHttpProtobuf);
}

TEST(OtlpEnvironmentTest, NamesTheVariableThatCannotBeUsed) {
  const std::pair<std::string, std::string> kBad[] = {
      {"LANGSMITH_OTEL_ONLY", "yes"},
      {"LANGSMITH_TRACING_MODE", "both"},
      {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/xml"},
      {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "quic"},
      {kEndpoint, "h:4318"},
      {kTracesEndpoint, "ftp://h"},
      {"OTEL_EXPORTER_OTLP_INSECURE", "1"},
      {"OTEL_EXPORTER_OTLP_TIMEOUT", "10s"},
      {"OTEL_EXPORTER_OTLP_TIMEOUT", "-1"},
      {"LANGSMITH_OTEL_SPAN_TTL_SECONDS", "1h"},
      {"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"},
      {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such.pem"},
      {"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/no/such.key"},
      {"OTEL_RESOURCE_ATTRIBUTES", "=x"}};
  for (const auto& [name, value] : kBad) {
    EXPECT_THAT(Refusal({{name, value}}), HasSubstr(name + ": \"" + value + "\" ")) << name;
  }
  // Also when nothing is sent.
  EXPECT_FALSE(Read({{"LANGSMITH_OTEL_ENABLED", "yes"}}).ok());
}

TEST(OtlpEnvironmentTest, NeedsBothFilesOfAClient) {
  EXPECT_THAT(Refusal({{"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/dev/null"}}),
              HasSubstr("OTEL_EXPORTER_OTLP_CLIENT_KEY: \"/dev/null\" needs"));
  EXPECT_THAT(Refusal({{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/dev/null"}}),
              HasSubstr("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: \"/dev/null\" needs"));
}

TEST(OtlpEnvironmentTest, ShowsNoHeader) {
  for (const char* value : {"canary", "a b=canary", "key=canary%0A"}) {
    EXPECT_THAT(Refusal({{kHeaders, value}}),
                AllOf(HasSubstr("OTEL_EXPORTER_OTLP_HEADERS: \"***\""), Not(HasSubstr("canary"))));
  }
}

/// Sets variables of the process as long as it lives.
class ScopedVariables {
 public:
  explicit ScopedVariables(Variables variables) : variables_(std::move(variables)) {
    for (const auto& [name, value] : variables_) setenv(name.c_str(), value.c_str(), 1);
  }
  ~ScopedVariables() {
    for (const auto& [name, value] : variables_) unsetenv(name.c_str());
  }
  ScopedVariables(const ScopedVariables&) = delete;
  ScopedVariables& operator=(const ScopedVariables&) = delete;

 private:
  const Variables variables_;
};

TEST(OtlpEnvironmentTest, MakesATracerThatSendsBothWays) {
  testing::FakeCollector collector;
  GrpcReceiver receiver;
  const ScopedVariables variables(With(With(kOn, kGrpc), {{"WEFT_COLLECTOR", collector.target()},
                                                          {kEndpoint, receiver.target()},
                                                          {"OTEL_SERVICE_NAME", "writer"}}));
  const auto tracer = Tracer::FromEnvironment();
  ASSERT_TRUE(tracer.ok()) << tracer.status();
  { const weft::Run run("run", {.tracer = *tracer}); }
  EXPECT_TRUE((*tracer)->Shutdown(std::chrono::seconds(20)));
  EXPECT_THAT(collector.Kept(), SizeIs(1));
  ASSERT_THAT(receiver.Kept(), SizeIs(1));
  EXPECT_THAT(AttributesOf(receiver.Kept()[0].resource_spans(0).resource()),
              Contains(Pair("service.name", "\"writer\"")));
}

TEST(OtlpEnvironmentTest, MakesATracerThatSendsSpansOnly) {
  GrpcReceiver receiver;
  const ScopedVariables variables(With(kGrpc, {{"LANGSMITH_TRACING", "true"},
                                               {"LANGSMITH_OTEL_ONLY", "true"},
                                               {kEndpoint, receiver.target()}}));
  const auto tracer = Tracer::FromEnvironment();
  ASSERT_TRUE(tracer.ok()) << tracer.status();
  EXPECT_THAT((*tracer)->options().exporters, SizeIs(1));
  { const weft::Run run("run", {.tracer = *tracer}); }
  EXPECT_TRUE((*tracer)->Shutdown(std::chrono::seconds(20)));
  EXPECT_THAT(receiver.Spans(), SizeIs(1));
}

}  // namespace
}  // namespace weft::otlp_test
