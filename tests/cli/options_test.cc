// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::HasSubstr;

struct Parsed {
  bool json = false;
  std::string project;
  std::size_t limit = 20;
  std::string trace;
  absl::Status status;
};

Parsed Parse(const std::vector<std::string_view>& args) {
  Parsed parsed;
  parsed.status = Options()
                      .Flag("--json", &parsed.json)
                      .Value("--project", &parsed.project)
                      .Count("--limit", &parsed.limit)
                      .Positional("TRACE_ID", &parsed.trace)
                      .Parse(args);
  return parsed;
}

std::string Message(const std::vector<std::string_view>& args) {
  return std::string(Parse(args).status.message());
}

TEST(OptionsTest, ReadsValuesInBothForms) {
  const Parsed parsed = Parse({"--project", "a b", "--limit=7", "id", "--json"});
  ASSERT_TRUE(parsed.status.ok()) << parsed.status.message();
  EXPECT_EQ(parsed.project, "a b");
  EXPECT_EQ(parsed.limit, 7u);
  EXPECT_EQ(parsed.trace, "id");
  EXPECT_TRUE(parsed.json);
}

TEST(OptionsTest, TakesWhatFollowsTwoHyphensAsItIs) {
  EXPECT_EQ(Parse({"--", "--json"}).trace, "--json");
}

TEST(OptionsTest, NamesAnUnknownOption) {
  EXPECT_THAT(Message({"id", "--filter", "x"}), HasSubstr("--filter"));
  EXPECT_THAT(Message({"id", "--filter=x"}), HasSubstr("--filter"));
}

TEST(OptionsTest, NamesAnOptionWithoutItsValue) {
  EXPECT_THAT(Message({"id", "--project"}), HasSubstr("--project"));
}

TEST(OptionsTest, NamesAFlagThatWasGivenAValue) {
  EXPECT_THAT(Message({"id", "--json=yes"}), HasSubstr("--json"));
}

TEST(OptionsTest, NamesOptionAndValueForWhatIsNoCount) {
  for (const std::string_view value : {"many", "0", "-3", "", "5x", "99999999999999999999999"}) {
    EXPECT_THAT(Message({"id", "--limit", value}),
                AllOf(HasSubstr("--limit"), HasSubstr(std::string(value))));
  }
}

TEST(OptionsTest, NamesAMissingArgumentAndOneTooMany) {
  EXPECT_THAT(Message({}), HasSubstr("TRACE_ID"));
  EXPECT_THAT(Message({"one", "two"}), HasSubstr("'two'"));
}

TEST(OptionsTest, ShowsNoControlCharactersOfWhatItRefuses) {
  EXPECT_THAT(Message({"--\x1b[2J"}), HasSubstr("--\\x1b[2J"));
}

}  // namespace
}  // namespace weft::cli
