// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/config.h>

#include <fstream>
#include <map>
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
    variables_.emplace("HOME", "/home/somebody");
    return LoadConfig(flags, [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    });
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
      {{"--forward", "otlp=grpc://h:1"}, "otlp=grpc://h:1"},
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
      {"forward:\n  - file=/a\n  - otlp=grpc://h:1\n", 3, "forward"},
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
      {"data: /x\n  bad: indent\n", 2, ""},
      {"- a\n- b\n", 1, ""},
  };
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
