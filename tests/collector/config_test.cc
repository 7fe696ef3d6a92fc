// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/config.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::collector {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ConfigTest : public testing::Test {
 protected:
  absl::StatusOr<CollectorConfig> Load(std::vector<std::string_view> flags) {
    return LoadConfig(flags, Variables());
  }

  ConfigReport Examine(std::vector<std::string_view> flags) {
    return ExamineConfig(flags, Variables());
  }

  Environment Variables() {
    variables_.emplace("HOME", "/home/somebody");
    return [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
  }

  std::string Error(std::vector<std::string_view> flags) {
    return std::string(Load(std::move(flags)).status().message());
  }

  // Writes `yaml` and returns the flags that name the file.
  std::vector<std::string_view> File(const std::string& yaml) {
    path_ = testing::TempDir() + "config_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".yaml";
    std::ofstream(path_) << yaml;
    return {"--config", path_};
  }

  std::map<std::string, std::string> variables_;
  std::string path_;
};

TEST_F(ConfigTest, HasTheDocumentedDefaults) {
  const auto config = Load({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->data, "/home/somebody/.local/state/weft");
  EXPECT_EQ(config->listen_grpc, "127.0.0.1:4317");
  EXPECT_EQ(config->listen_otlp_http, "127.0.0.1:4318");
  EXPECT_EQ(config->listen_http, "127.0.0.1:1984");
  EXPECT_TRUE(config->forward.empty());
  EXPECT_FALSE(config->min_free.has_value());
}

TEST_F(ConfigTest, DataFollowsXdgStateHome) {
  variables_["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(Load({})->data, "/state/weft");
  variables_["XDG_STATE_HOME"] = "relative/is/ignored";
  EXPECT_EQ(Load({})->data, "/home/somebody/.local/state/weft");
}

TEST_F(ConfigTest, FlagWinsOverEnvironmentOverFileOverDefault) {
  const auto file = File("listen_http: 127.0.0.1:1\nlisten_grpc: 127.0.0.1:2\ndata: /file\n");
  variables_["WEFT_LISTEN_GRPC"] = "127.0.0.1:3";
  variables_["WEFT_DATA"] = "/environment";
  const auto config = Load({file[0], file[1], "--data=/flag"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->listen_http, "127.0.0.1:1");
  EXPECT_EQ(config->listen_grpc, "127.0.0.1:3");
  EXPECT_EQ(config->data, "/flag");
  EXPECT_EQ(config->listen_otlp_http, "127.0.0.1:4318");
}

TEST_F(ConfigTest, ReadsSizesAndTimesWithUnits) {
  const auto config = Load(File(R"(
log:
  min_free: 64MiB
  retention_size: 1.5GB
  retention_age: 7d
limits:
  wire_body: 1048576
  header_timeout: 5s
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->min_free, 64u << 20);
  EXPECT_EQ(config->retention_size, 1'500'000'000u);
  EXPECT_EQ(config->retention_age, std::chrono::hours(7 * 24));
  EXPECT_EQ(config->max_wire_bytes, 1u << 20);
  EXPECT_EQ(config->header_timeout, std::chrono::seconds(5));
}

TEST_F(ConfigTest, SaysHowRunsGoOut) {
  const auto config = Load(File(R"(
forwarding: {concurrency: 8, drain_factor: 1.5, drain_floor: 200, max_open: 10m, orphan_wait: 5s}
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->forwarding.concurrency, 8u);
  EXPECT_EQ(config->forwarding.drain_factor, 1.5);
  EXPECT_EQ(config->forwarding.drain_floor, 200u);
  EXPECT_EQ(config->forwarding.max_open, std::chrono::minutes(10));
  EXPECT_EQ(config->forwarding.orphan_wait, std::chrono::seconds(5));
  EXPECT_EQ(Load(File("forwarding: {drain_factor: 0}"))->forwarding.drain_factor, 0);
  EXPECT_EQ(Load(File("otlp: {span_id: langsmith_py}"))->forwarding.span_ids,
            internal::SpanIdBytes::kFirst);
  EXPECT_FALSE(Load(File("otlp: {span_id: first}")).ok());
  for (const char* wrong : {"concurrency: 0", "concurrency: 65", "drain_factor: -1",
                            "drain_factor: nan", "orphan_wait: 11m", "max_open: 0s"}) {
    const auto refused = Load(File("forwarding: {" + std::string(wrong) + "}"));
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition) << wrong;
  }
}

TEST_F(ConfigTest, TakesKeysFromVariablesAndFiles) {
  variables_["FIRST"] = "secret-1";
  const std::string key_file = testing::TempDir() + "config_test_key";
  std::ofstream(key_file) << "secret-2\n";
  const auto config =
      Load(File("auth:\n  keys:\n    - {name: one, key_env: FIRST}\n    - name: two\n"
                "      key_file: " +
                key_file + "\n"));
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->keys.size(), 2u);
  EXPECT_EQ(config->keys[0].name, "one");
  EXPECT_EQ(config->keys[0].value, "secret-1");
  EXPECT_EQ(config->keys[1].value, "secret-2");
}

TEST_F(ConfigTest, DestinationsComeFromFlagsOrVariableOrFile) {
  variables_["LANGSMITH_API_KEY"] = "default-key";
  variables_["OTHER"] = "other-key";
  const auto file = File(R"(
forward:
  - file=/tmp/runs.jsonl
  - {to: "langsmith=https://one.example/", key_env: OTHER}
  - langsmith=https://two.example/api/v1
)");
  auto config = Load(file);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->forward.size(), 3u);
  EXPECT_EQ(config->forward[0].Spec(), "file=/tmp/runs.jsonl");
  EXPECT_EQ(config->forward[1].Spec(), "langsmith=https://one.example");
  EXPECT_EQ(config->forward[1].api_key, "other-key");
  EXPECT_EQ(config->forward[2].api_key, "default-key");

  variables_["WEFT_FORWARD"] = "file=/a,file=/b";
  EXPECT_EQ(Load(file)->forward.size(), 2u);
  config = Load({file[0], file[1], "--forward", "file=/c"});
  ASSERT_EQ(config->forward.size(), 1u);
  EXPECT_EQ(config->forward[0].target, "/c");
}

TEST_F(ConfigTest, WrongUseOfFlagsNamesThem) {
  const std::vector<std::pair<std::vector<std::string_view>, std::string>> cases = {
      {{"--lisen-grpc", "x"}, "--lisen-grpc"},
      {{"--log-min-free", "1GiB"}, "--log-min-free"},
      {{"stray"}, "stray"},
      {{"--data"}, "--data"},
      {{"--data="}, "--data"},
      {{"--listen-http", "nonsense"}, "--listen-http"},
      {{"--listen-http", "127.0.0.1:65536"}, "--listen-http"},
      {{"--listen-grpc", ":4317"}, "--listen-grpc"},
      {{"--forward", "langsmith"}, "--forward"},
      {{"--forward", "ftp=x"}, "ftp=x"},
      {{"--forward", "langsmith=ftp://x"}, "ftp://x"},
      {{"--forward", "otlp=ftp://h:1"}, "otlp=ftp://h:1"},
      {{"--forward", "kafka=h:9092/t"}, "kafka=h:9092/t"},
      {{"--forward", "file=/a", "--forward", "file=/a"}, "given twice"},
  };
  for (const auto& [flags, text] : cases) {
    const absl::Status status = Load(flags).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << flags.front() << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST_F(ConfigTest, WrongFilesAreRefusedWithFileLineAndKey) {
  const std::vector<std::tuple<std::string, int, std::string>> cases = {
      {"data: /x\nlisten_grcp: 127.0.0.1:1\n", 2, "listen_grcp"},
      {"log:\n  min_fre: 1\n", 2, "log.min_fre"},
      {"log:\n  min_free: lots\n", 2, "log.min_free"},
      {"log:\n  min_free: -1\n", 2, "log.min_free"},
      {"log:\n  retention_age: 10\n", 2, "log.retention_age"},
      {"data: /x\ndata: /y\n", 2, "data"},
      {"listen_http: 1984\n", 1, "listen_http"},
      {"forward:\n  - file=/a\n  - otlp=ftp://h:1\n", 3, "forward"},
      {"forward:\n  - file=/a\n  - file=/a\n", 3, "forward"},
      {"auth:\n  keys:\n    - {name: a, key_env: NOT_SET}\n", 3, "key_env"},
      {"auth:\n  keys:\n    - {name: a, kee_env: X}\n", 3, "kee_env"},
      {"auth:\n  keys:\n    - {key_env: HOME}\n", 3, "auth.keys"},
      {"http:\n  allowed_hosts: [\"a b\"]\n", 2, "http.allowed_hosts"},
      {"limits:\n  wire_body: 1\n", 2, "limits.wire_body"},
      {"config: other.yaml\n", 1, "config"},
      {"auht:\n  keys: []\n", 2, "auht.keys"},
      {"auht: {}\n", 1, "auht"},
      {"auth:\n  keys: [\"\"]\n", 2, "auth.keys"},
      {"data: [a, b]\n", 1, "data"},
      {"auth:\n  keys:\n    - {name: a, key_env: K}\n    - {name: a, key_env: HOME}\n", 4, "twice"},
      {"auth:\n  keys:\n    - {name: a, key_env: K}\n    - {name: b, key_env: K}\n", 4, "'b'"},
      {"auth:\n  keys:\n    - {name: a, key_env: K, read: perhaps}\n", 3, "read"},
      {"auth:\n  keys:\n    - {name: a, key_env: K, forward_with: x}\n", 3, "forward_with"},
      {"tenants:\n  - {runs_per_second: 5}\n", 2, "name"},
      {"tenants:\n  - {name: a, runs_per_second: fast}\n", 2, "runs_per_second"},
      {"tenants:\n  - {name: a}\n  - {name: a}\n", 3, "twice"},
      {"tenants:\n  - {name: a, max_trace_runs: 65536}\n", 2, "max_trace_runs"},
      {"prices:\n  - {input: 1}\n", 2, "model"},
      {"prices:\n  - {model: a, input: free}\n", 2, "'free' is no number of US dollars"},
      {"prices:\n  - {model: a, output: -1}\n", 2, "'-1' is no number of US dollars from 0 to 1e9"},
      {"prices:\n  - {model: a, output: 1e300}\n", 2, "'1e300' is no number of US dollars"},
      {"prices:\n  - {model: a, tokens: 1}\n", 2, "tokens"},
      {"limits:\n  large_runs: drop\n", 2, "large_runs"},
      {"log:\n  ack: fast\n", 2, "neither durable nor memory"},
      {"redaction:\n  presets: [everything]\n", 2, "everything"},
      {"redaction:\n  rules:\n    - {value: '('}\n", 3, "("},
      {"redaction:\n  rules:\n    - {pointer: inputs}\n", 3, "inputs"},
      {"redaction:\n  rules:\n    - {value: x, action: burn}\n", 3, "burn"},
      {"redaction:\n  rules:\n    - {name: nothing}\n", 3, "redaction.rules"},
      {"tls:\n  cert: /x\n", 2, "tls.key"},
      {"tls:\n  cert: /does/not/exist\n  key: /neither\n", 2, "/does/not/exist"},
      {"tls:\n  http:\n    client_ca: /x\n", 3, "tls.cert"},
      {"log_format: xml\n", 1, "log_format"},
      {"data: /x\n  bad: indent\n", 2, ""},
      {"- a\n- b\n", 1, ""},
  };
  variables_["K"] = "secret";
  for (const auto& [yaml, line, key] : cases) {
    const absl::Status status = Load(File(yaml)).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << yaml << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith(path_ + ":" + std::to_string(line) + ":"), HasSubstr(key)))
        << yaml;
  }
}

TEST_F(ConfigTest, AnUnreadableFileIsAWrongConfiguration) {
  for (const std::string path : {"/does/not/exist.yaml", "/tmp"}) {
    const absl::Status status = Load({"--config", path}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }
}

TEST_F(ConfigTest, EmptyFileAndEmptySectionsSayNothing) {
  EXPECT_TRUE(Load(File("")).ok());
  EXPECT_TRUE(Load(File("# nothing\n")).ok());
  EXPECT_TRUE(Load(File("auth:\nlog: {}\nforward: []\nhttp:\n  allowed_hosts: []\n")).ok());
}

TEST_F(ConfigTest, WrongVariablesAreNamed) {
  variables_["WEFT_LISTEN_HTTP"] = "nonsense";
  const absl::Status status = Load({}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("WEFT_LISTEN_HTTP"));
}

TEST_F(ConfigTest, WideAddressesNeedTheOptionThatAllowsThem) {
  for (const std::string_view address : {"0.0.0.0:1", "[::]:1", "192.168.0.1:1", "example.com:1"}) {
    const absl::Status status = Load({"--listen-http", address}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << address;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("--listen-http"), HasSubstr("--allow-insecure-listen")));
    EXPECT_TRUE(Load({"--listen-http", address, "--allow-insecure-listen"}).ok());
  }
  for (const std::string_view address : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"}) {
    EXPECT_TRUE(Load({"--listen-http", address}).ok()) << address;
  }
  EXPECT_THAT(Error(File("listen_grpc: 0.0.0.0:1\n")), HasSubstr(path_ + ":1: listen_grpc"));
}

TEST_F(ConfigTest, MessagesHoldNoKey) {
  variables_["LANGSMITH_API_KEY"] = "top\tsecret";
  const std::string error = Error({"--forward", "langsmith=http://h"});
  EXPECT_THAT(error, AllOf(HasSubstr("LANGSMITH_API_KEY"), Not(HasSubstr("secret"))));
  EXPECT_THAT(Error({"--forward", "langsmith=http://user:hunter2@h"}), Not(HasSubstr("hunter2")));
}

std::vector<std::string> Messages(const ConfigReport& report) {
  std::vector<std::string> messages;
  for (const absl::Status& status : report.problems) messages.emplace_back(status.message());
  return messages;
}

TEST_F(ConfigTest, AReportNamesEverythingThatIsWrong) {
  const ConfigReport report =
      Examine(File("listen_http: 1984\nlog:\n  min_free: lots\nauth:\n  keys:\n"
                   "    - {name: a, key_env: NOT_SET}\n    - {key_env: HOME}\nextra: 1\n"));
  EXPECT_THAT(
      Messages(report),
      ElementsAre(StartsWith(path_ + ":1: listen_http"), StartsWith(path_ + ":3: log.min_free"),
                  AllOf(StartsWith(path_ + ":6: "), HasSubstr("NOT_SET")),
                  AllOf(StartsWith(path_ + ":7: auth.keys"), HasSubstr("name")),
                  StartsWith(path_ + ":8: extra")));
}

TEST_F(ConfigTest, AReportSaysWhereValuesComeFromAndShowsNoKey) {
  variables_["WEFT_LISTEN_GRPC"] = "127.0.0.1:3";
  variables_["ONE"] = "secret-1";
  variables_["LANGSMITH_API_KEY"] = "secret-2";
  const auto file = File(
      "log:\n  retention_age: 48h\nforward: [\"langsmith=http://h\"]\nauth:\n  keys:\n"
      "    - {name: one, key_env: ONE, projects: [a, b]}\n");
  const ConfigReport report = Examine({file[0], file[1], "--data=/flag"});
  EXPECT_THAT(Messages(report), testing::IsEmpty());
  std::map<std::string, std::string> shown;
  for (const ConfigValue& value : report.values) {
    shown[value.key] = value.value + " < " + value.source;
    EXPECT_THAT(value.value, Not(HasSubstr("secret")));
  }
  EXPECT_EQ(shown["data"], "/flag < --data");
  EXPECT_EQ(shown["listen_grpc"], "127.0.0.1:3 < WEFT_LISTEN_GRPC");
  EXPECT_EQ(shown["log.retention_age"], "2d < " + path_ + ":2");
  EXPECT_EQ(shown["limits.wire_body"], "64MiB < default");
  EXPECT_EQ(shown["forward[0]"],
            "langsmith=http://h (key: *** of LANGSMITH_API_KEY) < " + path_ + ":3");
  EXPECT_EQ(shown["auth.keys[0]"],
            "{name: one, key_env: ONE, projects: a, b, key: ***} < " + path_ + ":6");
}

TEST_F(ConfigTest, TheExampleIsAConfigurationWhereItsLinesAreNotCommentedOut) {
  const std::string example = ConfigExample();
  EXPECT_TRUE(Load(File(example)).ok());
  std::string live;
  std::istringstream lines(example);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || (line.starts_with("# ") && line[2] != ' ')) continue;
    ASSERT_EQ(line[0], '#');
    live += line.substr(1) + "\n";
  }
  variables_["TEAM_A_KEY"] = variables_["LANGSMITH_API_KEY"] = "k";
  const ConfigReport report = Examine(File(live));
  // Only the certificates, which are not there, are missing.
  for (const std::string& problem : Messages(report)) EXPECT_THAT(problem, HasSubstr(": tls."));
  EXPECT_EQ(report.config.keys.size(), 1u);
  EXPECT_EQ(report.config.tenants.size(), 1u);
  EXPECT_EQ(report.config.redaction.rules.size(), 1u);
  EXPECT_EQ(report.config.idle_timeout, CollectorConfig().idle_timeout);
  EXPECT_EQ(report.config.max_wire_bytes, CollectorConfig().max_wire_bytes);
}

TEST_F(ConfigTest, KeysSayWhatTheyAreGoodFor) {
  variables_["A"] = "a";
  variables_["B"] = "b";
  variables_["C"] = "c";
  const auto config = Load(File(R"(
auth:
  keys:
    - {name: all, key_env: A}
    - {name: team, key_env: B, tenant: acme, projects: [one, two], forward_key_env: C}
    - {name: ops, key_env: C, tenant: acme, read: true, admin: true, forward_with: destination}
tenants:
  - {name: acme, runs_per_second: 100, bytes_per_second: 1MiB, max_body: 2MiB, max_run: 3MiB,
     max_trace_runs: 4, max_in_flight: 5MiB}
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<NamedKey>& keys = config->keys;
  EXPECT_TRUE(keys[0].read);
  EXPECT_FALSE(keys[0].admin);
  EXPECT_EQ(keys[1].tenant, "acme");
  EXPECT_THAT(keys[1].projects, ElementsAre("one", "two"));
  EXPECT_FALSE(keys[1].read);
  EXPECT_EQ(keys[1].forward, NamedKey::Forward::kMapped);
  EXPECT_EQ(keys[1].forward_key, "c");
  EXPECT_TRUE(keys[2].read);
  EXPECT_TRUE(keys[2].admin);
  EXPECT_EQ(keys[2].forward, NamedKey::Forward::kDestination);
  EXPECT_EQ(config->tenants[0], (TenantConfig{"acme", 100, 1 << 20, 2 << 20, 3 << 20, 4, 5 << 20}));
}

TEST_F(ConfigTest, TakesThePricesOfModels) {
  const auto config = Load(File(R"(
prices:
  - {model: "small*", input: 0.15, output: 0.6, cache_read: 0.075, cache_creation: 0.2}
  - {model: "*", input: 1}
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->prices.size(), 2u);
  Prices prices;
  prices.Set(config->prices);
  const auto small = prices.Of("small-2");
  ASSERT_TRUE(small.has_value());
  EXPECT_EQ(small->input, 0.15);
  EXPECT_EQ(small->output, 0.6);
  EXPECT_EQ(small->cache_read, 0.075);
  EXPECT_EQ(small->cache_creation, 0.2);
  EXPECT_EQ(prices.Of("large")->input, 1);
  EXPECT_EQ(prices.Of("large")->cache_read, std::nullopt);
  prices.Set({});
  EXPECT_EQ(prices.Of("small"), std::nullopt);
}

TEST_F(ConfigTest, RulesOfTheRedactionAreChecked) {
  variables_["SALT"] = "salt";
  const auto config = Load(File(R"(
redaction:
  presets: [email, cards]
  hash_key_env: SALT
  max_attachment: 0
  rules:
    - {name: ssn, value: '\d{3}-\d{2}-\d{4}', action: hash, tenants: [acme]}
    - {pointer: /inputs/secret, action: drop}
    - {pointer: /metadata/*, allow: "ls_.*", action: drop}
)"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->redaction.presets,
              ElementsAre(RedactionPreset::kEmail, RedactionPreset::kCards));
  EXPECT_EQ(config->redaction.hash_key, "salt");
  EXPECT_EQ(config->redaction.max_attachment, 0u);
  EXPECT_EQ(config->redaction.rules[1].rule.name, "rule-1");
  EXPECT_EQ(config->redaction.rules[2].rule.allow, "ls_.*");
  EXPECT_THAT(config->redaction.rules[0].tenants, ElementsAre("acme"));
}

TEST_F(ConfigTest, HelpListsEveryFlag) {
  const std::string help = ConfigHelp();
  for (const char* flag : {"--config FILE", "--data DIR", "--listen-grpc ADDR",
                           "--listen-otlp-http ADDR", "--listen-http ADDR", "--forward SPEC",
                           "--ready-file PATH", "--allow-insecure-listen", "WEFT_LISTEN_GRPC"}) {
    EXPECT_THAT(help, HasSubstr(flag));
  }
}

}  // namespace
}  // namespace weft::collector
