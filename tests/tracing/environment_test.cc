// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <cstdlib>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_collector.h>
#include <weft/tracing/run.h>

namespace weft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Variables = std::map<std::string, std::string>;

absl::StatusOr<internal::EnvironmentSettings> Read(const Variables& variables) {
  return internal::ReadEnvironment([&](const char* name) {
    const auto found = variables.find(name);
    return found != variables.end() ? found->second.c_str() : nullptr;
  });
}

std::string Refusal(const Variables& variables) {
  const auto settings = Read(variables);
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(settings.status().message());
}

TEST(EnvironmentTest, IsOffAndFineWhenNothingIsSet) {
  const auto settings = Read({});
  ASSERT_TRUE(settings.ok());
  EXPECT_FALSE(settings->tracer.enabled);
  EXPECT_EQ(settings->tracer.project, "default");
  EXPECT_EQ(settings->collector.target, "127.0.0.1:4317");
}

TEST(EnvironmentTest, ReadsEveryVariable) {
  const auto settings = Read({{"LANGSMITH_TRACING", "true"},
                              {"WEFT_COLLECTOR", "collector:4317"},
                              {"LANGSMITH_API_KEY", "key"},
                              {"LANGSMITH_PROJECT", "p"},
                              {"LANGSMITH_AGENT_ID", "writer"},
                              {"LANGSMITH_AGENT_ENVIRONMENT", "Production"},
                              {"LANGSMITH_TRACING_SAMPLING_RATE", "0.25"},
                              {"LANGSMITH_HIDE_INPUTS", "true"},
                              {"LANGSMITH_HIDE_OUTPUTS", "true"},
                              {"LANGSMITH_HIDE_METADATA", "true"},
                              {"OTEL_SERVICE_NAME", "writer-service"}});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->tracer.enabled);
  EXPECT_EQ(settings->collector.target, "collector:4317");
  EXPECT_EQ(settings->collector.api_key, "key");
  EXPECT_EQ(settings->tracer.project, "p");
  EXPECT_EQ(settings->tracer.address, "lrn:agents/writer/environments/production");
  EXPECT_EQ(settings->tracer.sampling_rate, 0.25);
  EXPECT_TRUE(settings->tracer.hide_inputs);
  EXPECT_TRUE(settings->tracer.hide_outputs);
  EXPECT_TRUE(settings->tracer.hide_metadata);
  EXPECT_EQ(settings->tracer.service_name, "writer-service");
}

TEST(EnvironmentTest, PutsTheNewerPrefixFirstAndTakesEmptyForUnset) {
  EXPECT_TRUE(Read({{"LANGCHAIN_TRACING_V2", "true"}})->tracer.enabled);
  EXPECT_FALSE(
      Read({{"LANGSMITH_TRACING_V2", "false"}, {"LANGSMITH_TRACING", "true"}})->tracer.enabled);
  EXPECT_EQ(Read({{"LANGSMITH_PROJECT", "new"}, {"LANGCHAIN_PROJECT", "old"}})->tracer.project,
            "new");
  EXPECT_EQ(Read({{"LANGSMITH_PROJECT", " "}, {"LANGCHAIN_PROJECT", "old"}})->tracer.project,
            "old");
  EXPECT_EQ(Read({{"LANGCHAIN_SESSION", "oldest"}})->tracer.project, "oldest");
}

TEST(EnvironmentTest, FindsTheServiceNameAmongTheResourceAttributes) {
  EXPECT_EQ(
      Read({{"OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=my%20service,"}})->tracer.service_name,
      "my service");
}

TEST(EnvironmentTest, NamesTheVariableThatCannotBeUsed) {
  const struct {
    std::string name;
    std::string value;
  } kBad[] = {{"LANGSMITH_TRACING", "yes"},
              {"LANGCHAIN_TRACING_V2", "1"},
              {"LANGSMITH_HIDE_INPUTS", "maybe"},
              {"LANGSMITH_TRACING_SAMPLING_RATE", "1.5"},
              {"LANGSMITH_TRACING_SAMPLING_RATE", "nan"},
              {"LANGSMITH_TRACING_SAMPLING_RATE", "half"},
              {"WEFT_COLLECTOR", "http://here:1"},
              {"WEFT_COLLECTOR", "nowhere"},
              {"WEFT_COLLECTOR", "host:"},
              {"WEFT_COLLECTOR", "host:70000"},
              {"WEFT_COLLECTOR", "::1:4317"},
              {"LANGSMITH_AGENT_ID", "writer"},
              {"LANGSMITH_AGENT_ENVIRONMENT", "local"},
              {"OTEL_RESOURCE_ATTRIBUTES", "nonsense"}};
  for (const auto& [name, value] : kBad) {
    EXPECT_THAT(Refusal({{name, value}}), AllOf(HasSubstr(name), HasSubstr(value)));
  }
  EXPECT_THAT(Refusal({{"LANGSMITH_AGENT_ID", "UP"}, {"LANGSMITH_AGENT_ENVIRONMENT", "local"}}),
              HasSubstr("LANGSMITH_AGENT_ID: \"UP\""));
  EXPECT_THAT(Refusal({{"LANGSMITH_AGENT_ID", "a"}, {"LANGSMITH_AGENT_ENVIRONMENT", "moon"}}),
              HasSubstr("LANGSMITH_AGENT_ENVIRONMENT: \"moon\""));
}

TEST(EnvironmentTest, TakesAddressesOfEveryKind) {
  EXPECT_TRUE(Read({{"WEFT_COLLECTOR", "[::1]:4317"}}).ok());
  EXPECT_TRUE(Read({{"WEFT_COLLECTOR", "10.0.0.1:1"}}).ok());
  EXPECT_TRUE(Read({{"WEFT_COLLECTOR", "unix:/run/weft"}}).ok());
}

TEST(EnvironmentTest, ShowsNoKey) {
  EXPECT_THAT(Refusal({{"LANGSMITH_API_KEY", "lsv2\nsecret"}}),
              AllOf(HasSubstr("LANGSMITH_API_KEY"), Not(HasSubstr("secret"))));
}

TEST(EnvironmentTest, SaysWhatToSetInsteadOfWhatItCannotReach) {
  const Variables direct = {{"LANGSMITH_TRACING", "true"},
                            {"LANGSMITH_ENDPOINT", "https://api.example"}};
  EXPECT_THAT(Refusal(direct), AllOf(HasSubstr("LANGSMITH_ENDPOINT: \"https://api.example\""),
                                     HasSubstr("WEFT_COLLECTOR")));
  Variables both = direct;
  both["WEFT_COLLECTOR"] = "here:1";
  EXPECT_TRUE(Read(both).ok());
  EXPECT_TRUE(Read({{"LANGSMITH_ENDPOINT", "https://api.example"}}).ok());
}

TEST(EnvironmentTest, MakesATracerThatReachesTheCollector) {
  testing::FakeCollector collector;
  setenv("LANGSMITH_TRACING", "true", 1);
  setenv("WEFT_COLLECTOR", collector.target().c_str(), 1);
  const auto tracer = Tracer::FromEnvironment();
  unsetenv("LANGSMITH_TRACING");
  unsetenv("WEFT_COLLECTOR");
  ASSERT_TRUE(tracer.ok()) << tracer.status();
  { const weft::Run run("run", {.tracer = *tracer}); }
  EXPECT_TRUE((*tracer)->Shutdown(std::chrono::seconds(20)));
  EXPECT_EQ(collector.Kept().size(), 1u);
}

TEST(EnvironmentTest, MakesATracerWithoutExportersWhenTracingIsOff) {
  unsetenv("LANGSMITH_TRACING");
  const auto tracer = Tracer::FromEnvironment();
  ASSERT_TRUE(tracer.ok());
  EXPECT_FALSE((*tracer)->enabled());
  EXPECT_TRUE((*tracer)->options().exporters.empty());
}

}  // namespace
}  // namespace weft
