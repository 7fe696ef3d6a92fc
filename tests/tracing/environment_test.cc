// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <cstdlib>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_collector.h>
#include <weft/testing/fake_langsmith.h>
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
  EXPECT_TRUE(settings->tracer.exclude_inputs_on_patch);
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
                              {"LANGSMITH_EXCLUDE_INPUTS_ON_PATCH", "false"},
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
  EXPECT_FALSE(settings->tracer.exclude_inputs_on_patch);
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
  EXPECT_EQ(Read({{"LANGSMITH_PROJECT", "new"}, {"HOSTED_LANGSERVE_PROJECT_NAME", "host's"}})
                ->tracer.project,
            "host's");
}

TEST(EnvironmentTest, SwitchesTheSearchForLostParents) {
  EXPECT_EQ(Read({})->tracer.detect_context_loss, std::nullopt);
  EXPECT_EQ(Read({{"WEFT_DETECT_CONTEXT_LOSS", "true"}})->tracer.detect_context_loss, true);
  EXPECT_EQ(Read({{"WEFT_DETECT_CONTEXT_LOSS", "false"}})->tracer.detect_context_loss, false);
  EXPECT_THAT(Refusal({{"WEFT_DETECT_CONTEXT_LOSS", "1"}}),
              AllOf(HasSubstr("WEFT_DETECT_CONTEXT_LOSS"), HasSubstr("\"1\"")));
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
              {"LANGSMITH_EXCLUDE_INPUTS_ON_PATCH", "no"},
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

TEST(EnvironmentTest, ShowsNoPasswordOfAnAddress) {
  const std::pair<std::string, std::string> kBad[] = {
      {"LANGSMITH_ENDPOINT", "https://me:secret@here"},
      {"LANGSMITH_ENDPOINT", "me:secret@here"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://me:secret@here"},
      {"OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@here/v1/traces"},
      {"WEFT_COLLECTOR", "me:secret@here:1"}};
  for (const auto& [name, value] : kBad) {
    EXPECT_THAT(
        Refusal({{"LANGSMITH_TRACING", "true"}, {"LANGSMITH_OTEL_ENABLED", "true"}, {name, value}}),
        AllOf(HasSubstr(name), HasSubstr("***@here"), Not(HasSubstr("secret"))));
  }
}

TEST(EnvironmentTest, SendsDirectlyWithoutACollector) {
  Variables direct = {{"LANGSMITH_TRACING", "true"},
                      {"LANGSMITH_ENDPOINT", "\"https://api.example/v1/\""},
                      {"LANGSMITH_API_KEY", "key"},
                      {"LANGSMITH_WORKSPACE_ID", "w"},
                      {"LANGSMITH_FAILED_TRACES_DIR", "/var/tmp/failed"},
                      {"LANGSMITH_FAILED_TRACES_MAX_MB", "2.5"},
                      {"LANGSMITH_BATCH_INGEST_SIZE_LIMIT", "50"},
                      {"LANGSMITH_DISABLE_RUN_COMPRESSION", "true"}};
  const auto settings = Read(direct);
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(settings->langsmith.size(), 1u);
  const LangSmithExporterOptions& options = settings->langsmith[0];
  EXPECT_EQ(options.endpoint, "https://api.example/v1");
  EXPECT_EQ(options.api_key, "key");
  EXPECT_EQ(options.workspace_id, "w");
  EXPECT_EQ(options.spill_dir, "/var/tmp/failed");
  EXPECT_EQ(options.spill_bytes, 2'621'440u);
  EXPECT_EQ(options.batch_runs, 50u);
  EXPECT_FALSE(options.compress);
  direct["LANGSMITH_OTEL_ENABLED"] = "true";
  EXPECT_EQ(Read(direct)->otlp->exporter.spill_dir, "/var/tmp/failed");
  EXPECT_EQ(Read(direct)->otlp->exporter.spill_bytes, 2'621'440u);
  direct["WEFT_COLLECTOR"] = "here:1";
  EXPECT_EQ(Read(direct)->collector.spill_dir, "/var/tmp/failed");
  EXPECT_TRUE(Read(direct)->langsmith.empty());
  EXPECT_TRUE(Read({{"LANGSMITH_ENDPOINT", "https://api.example"}})->langsmith.empty());
  EXPECT_TRUE(
      Read({{"LANGSMITH_TRACING", "true"}, {"LANGSMITH_API_KEY", "key"}})->langsmith.empty());
}

TEST(EnvironmentTest, ReadsReplicas) {
  const auto read = [](const std::string& value) {
    return Read({{"LANGSMITH_TRACING", "true"}, {"LANGSMITH_RUNS_ENDPOINTS", value}});
  };
  const auto array = read(R"([{"api_url": "https://a/", "api_key": "ka", "primary": true},
      {"api_url": "http://b", "api_key": "kb", "project_name": "mirror", "workspace_id": "w"}])");
  ASSERT_TRUE(array.ok()) << array.status();
  ASSERT_EQ(array->langsmith.size(), 2u);
  EXPECT_EQ(array->langsmith[0].endpoint, "https://a");
  EXPECT_EQ(array->langsmith[0].primary, true);
  EXPECT_EQ(array->langsmith[1].api_key, "kb");
  EXPECT_EQ(array->langsmith[1].project, "mirror");
  EXPECT_EQ(array->langsmith[1].workspace_id, "w");
  EXPECT_EQ(array->langsmith[1].primary, false);
  const auto object = read(R"({"https://a": "ka", "https://b": "kb"})");
  ASSERT_TRUE(object.ok()) << object.status();
  ASSERT_EQ(object->langsmith.size(), 2u);
  EXPECT_EQ(object->langsmith[1].endpoint, "https://b");
  EXPECT_EQ(object->langsmith[1].primary, std::nullopt);
}

TEST(EnvironmentTest, RefusesReplicasWithoutShowingTheirKeys) {
  for (const char* const bad :
       {"secret", "\"secret\"", R"(["secret"])", R"([{"api_key": "secret"}])",
        R"([{"api_url": "secret", "api_key": "k"}])", R"([{"api_url": "http://a"}])",
        R"([{"api_url": "http://a", "api_key": "secret", "primary": 1}])",
        R"([{"api_url": "http://a", "api_key": "secret\n"}])",
        R"([{"api_url": "http://a", "api_key": "secret", "primary": true},
            {"api_url": "http://b", "api_key": "secret", "primary": true}])",
        R"({"http://a": 1})", R"({"secret": "k"})"}) {
    EXPECT_THAT(Refusal({{"LANGSMITH_TRACING", "true"}, {"LANGSMITH_RUNS_ENDPOINTS", bad}}),
                AllOf(HasSubstr("LANGSMITH_RUNS_ENDPOINTS"), Not(HasSubstr("secret"))));
  }
  EXPECT_THAT(Refusal({{"LANGSMITH_TRACING", "true"},
                       {"LANGSMITH_ENDPOINT", "http://c"},
                       {"LANGSMITH_RUNS_ENDPOINTS", R"({"http://a": "secret"})"}}),
              AllOf(HasSubstr("LANGSMITH_ENDPOINT"), Not(HasSubstr("secret"))));
  for (const auto& [name, value] : Variables{{"LANGSMITH_ENDPOINT", "here"},
                                             {"LANGSMITH_FAILED_TRACES_MAX_MB", "-1"},
                                             {"LANGSMITH_BATCH_INGEST_SIZE_LIMIT", "0"},
                                             {"LANGSMITH_DISABLE_RUN_COMPRESSION", "yes"}}) {
    EXPECT_THAT(Refusal({{"LANGSMITH_TRACING", "true"}, {name, value}}),
                AllOf(HasSubstr(name), HasSubstr(value)));
  }
}

TEST(EnvironmentTest, MakesATracerThatReachesLangSmith) {
  const auto langsmith = testing::FakeLangSmith::Start();
  const auto mirror = testing::FakeLangSmith::Start();
  const std::string replicas = R"([{"api_url": ")" + langsmith->url() +
                               R"(", "api_key": "ka"}, {"api_url": ")" + mirror->url() +
                               R"(", "api_key": "kb", "project_name": "mirror"}])";
  setenv("LANGSMITH_TRACING", "true", 1);
  setenv("LANGSMITH_RUNS_ENDPOINTS", replicas.c_str(), 1);
  const auto tracer = Tracer::FromEnvironment();
  unsetenv("LANGSMITH_TRACING");
  unsetenv("LANGSMITH_RUNS_ENDPOINTS");
  ASSERT_TRUE(tracer.ok()) << tracer.status();
  std::string id;
  {
    const weft::Run run("run", {.tracer = *tracer});
    id = run.context().id().ToString();
  }
  EXPECT_TRUE((*tracer)->Shutdown(std::chrono::seconds(20)));
  EXPECT_EQ(langsmith->RunIds(), std::vector<std::string>{id});
  ASSERT_EQ(mirror->RunIds().size(), 1u);
  EXPECT_NE(mirror->RunIds()[0], id);
  EXPECT_EQ(mirror->RunIds()[0].substr(0, 13), id.substr(0, 13));
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
