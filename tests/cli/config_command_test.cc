// SPDX-License-Identifier: Apache-2.0
#include "config_command.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result Config(const std::vector<std::string_view>& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = ConfigCommand(args, out, err);
  return {code, out.str(), err.str()};
}

class ConfigCommandTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path_); }
  void Write(const std::string& yaml) { std::ofstream(path_) << yaml; }
  std::string Content() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string path_ = ::testing::TempDir() + "config_command_test_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name() +
                            ".yaml";
};

TEST_F(ConfigCommandTest, InitReplacesAFileOnlyByForce) {
  EXPECT_EQ(Config({"init", "--output", path_}).code, 0);
  EXPECT_THAT(Content(), HasSubstr("listen_http"));
  EXPECT_EQ(Config({"validate", path_}).code, 0);
  Write("data: /mine\n");
  const Result refused = Config({"init", "--output", path_});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr(path_), HasSubstr("--force")));
  EXPECT_EQ(Content(), "data: /mine\n");
  EXPECT_EQ(Config({"init", "--force", "--output", path_}).code, 0);
  EXPECT_EQ(Content(), Config({"init"}).out);
}

TEST_F(ConfigCommandTest, ValidateNamesEveryMistakeWithItsLine) {
  Write("listen_http: x\nlog:\n  min_fre: 1\ndata: /dev/null/weft\n");
  const Result result = Config({"validate", path_});
  EXPECT_EQ(result.code, 78);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr(path_ + ":1: listen_http"), HasSubstr(path_ + ":3: log.min_fre"),
                    HasSubstr("'/dev/null/weft' cannot be a directory")));
  EXPECT_THAT(Config({"validate", path_, "--json"}).out, StartsWith("{\"file\":"));
  const Result missing = Config({"validate", "/does/not/exist"});
  EXPECT_EQ(missing.code, 78);
  EXPECT_THAT(missing.err, HasSubstr("/does/not/exist"));
}

TEST_F(ConfigCommandTest, ShowTellsValuesAndTheirSources) {
  Write("drain: 30s\n");
  const Result shown = Config({"show", "--config", path_, "--data", "/flag", "--json"});
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.err, IsEmpty());
  EXPECT_THAT(shown.out,
              AllOf(HasSubstr(R"({"key":"data","value":"/flag","source":"--data"})"),
                    HasSubstr(R"({"key":"drain","value":"30s","source":")" + path_ + R"(:1"})"),
                    HasSubstr(R"("value":"20000","source":"default"})")));
  EXPECT_THAT(Config({"show", "--config", path_}).out, HasSubstr("30s"));
  EXPECT_EQ(Config({"show", "--lisen", "x"}).code, 2);
}

TEST_F(ConfigCommandTest, WrongUseIsTold) {
  EXPECT_EQ(Config({}).code, 2);
  EXPECT_EQ(Config({"vaildate", path_}).code, 2);
  EXPECT_EQ(Config({"validate"}).code, 2);
  EXPECT_THAT(Config({"--help"}).out, HasSubstr("weft config init"));
}

}  // namespace
}  // namespace weft::cli
