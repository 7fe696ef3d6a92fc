// SPDX-License-Identifier: Apache-2.0
#include "headers_command.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/tracing/json.h>

namespace weft::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kRoot = "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001";

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Headers(std::vector<std::string_view> args, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const int code = HeadersCommand(args, in, out, err);
  return {code, out.str(), err.str()};
}

JsonObject Object(const std::string& line) {
  const std::optional<Json> json = ParseJson(line);
  EXPECT_TRUE(json && json->is_object()) << line;
  return json && json->is_object() ? json->get_object() : JsonObject();
}

JsonObject Decode(const JsonObject& headers) {
  const Outcome outcome = Headers({"decode"}, boost::json::serialize(headers) + "\n");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  return Object(outcome.out);
}

std::string FirstProblem(const JsonObject& decoded) {
  const JsonArray& problems = decoded.at("problems").as_array();
  return problems.empty() ? "" : std::string(std::string_view(problems[0].as_string()));
}

TEST(HeadersDecodeTest, PrintsEverythingThatTheHeadersSay) {
  const std::string traceparent = "00-01a0b35e7a0070008000000000000001-8000000000000001-01";
  const JsonObject decoded =
      Decode({{"LangSmith-Trace", " " + std::string(kRoot)},
              {"BAGGAGE",
               {"langsmith-metadata=%7B%22n%22%3A2.5%7D,langsmith-tags=a%2Cb",
                "langsmith-project=p,k=v%20w;x"}},
              {"traceparent", {traceparent}},
              {"tracestate", {"a=1 ", " b=2"}},
              {"unrelated", 7}});
  EXPECT_EQ(decoded, (JsonObject{{"trace_id", kRoot.substr(22)},
                                 {"parent_run_id", kRoot.substr(22)},
                                 {"dotted_order", kRoot},
                                 {"project", "p"},
                                 {"address", nullptr},
                                 {"tags", {"a", "b"}},
                                 {"metadata", {{"n", 2.5}}},
                                 {"baggage", {{"k", "v w"}}},
                                 {"traceparent",
                                  {{"trace_id", "01a0b35e7a0070008000000000000001"},
                                   {"span_id", "8000000000000001"},
                                   {"sampled", true}}},
                                 {"tracestate", "a=1,b=2"},
                                 {"problems", JsonArray()}}));
}

TEST(HeadersDecodeTest, AbsentHeadersAreNullsWithoutAProblem) {
  EXPECT_EQ(Decode({}), (JsonObject{{"trace_id", nullptr},
                                    {"parent_run_id", nullptr},
                                    {"dotted_order", nullptr},
                                    {"project", nullptr},
                                    {"address", nullptr},
                                    {"tags", JsonArray()},
                                    {"metadata", JsonObject()},
                                    {"baggage", JsonObject()},
                                    {"traceparent", nullptr},
                                    {"tracestate", nullptr},
                                    {"problems", JsonArray()}}));
}

TEST(HeadersDecodeTest, IdsAreLowerCaseAndTheDottedOrderAsItCame) {
  const std::string upper = "20260910T004640000001Z01A0B35E-7A00-7000-8000-00000000ABCD";
  const JsonObject decoded = Decode({{"langsmith-trace", upper}});
  EXPECT_EQ(decoded.at("trace_id"), "01a0b35e-7a00-7000-8000-00000000abcd");
  EXPECT_EQ(decoded.at("dotted_order"), Json(upper));
}

TEST(HeadersDecodeTest, AMalformedTraceIsNullsAndAProblemWhateverElseThereIs) {
  const JsonObject decoded =
      Decode({{"langsmith-trace", "garbage"},
              {"baggage", "langsmith-project=p"},
              {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}});
  EXPECT_TRUE(decoded.at("trace_id").is_null());
  EXPECT_TRUE(decoded.at("parent_run_id").is_null());
  EXPECT_TRUE(decoded.at("dotted_order").is_null());
  EXPECT_EQ(decoded.at("project"), "p");
  EXPECT_EQ(decoded.at("traceparent").at("sampled"), false);
  EXPECT_THAT(FirstProblem(decoded), StartsWith("bad-langsmith-trace: "));
}

TEST(HeadersDecodeTest, RepeatedTracesMustBeEqual) {
  EXPECT_EQ(Decode({{"langsmith-trace", {kRoot, kRoot}}}).at("dotted_order"), Json(kRoot));
  const std::string other = std::string(kRoot.substr(0, 57)) + "2";
  const JsonObject differ = Decode({{"langsmith-trace", {kRoot, other}}});
  EXPECT_TRUE(differ.at("trace_id").is_null());
  EXPECT_THAT(FirstProblem(differ), StartsWith("repeated-langsmith-trace: "));
}

TEST(HeadersDecodeTest, ValuesOfOtherTypesCountAsAbsent) {
  for (const Json& value : {Json(1), Json(nullptr), Json(JsonObject()), Json({kRoot, 1})}) {
    const JsonObject decoded = Decode({{"langsmith-trace", value}});
    EXPECT_TRUE(decoded.at("trace_id").is_null());
    EXPECT_THAT(FirstProblem(decoded), StartsWith("bad-header-value: "));
  }
}

TEST(HeadersDecodeTest, EveryLineGivesOneLineOfJson) {
  const std::vector<std::string> lines = {"",
                                          " ",
                                          "garbage",
                                          "[]",
                                          "null",
                                          "{",
                                          "{\"a\":1}{}",
                                          std::string("{}\0", 3),
                                          std::string(1, '\0'),
                                          "\xFF\xFE",
                                          "{\"baggage\":\"\xFF\"}",
                                          "{\"baggage\":\"\\ud800=1\"}",
                                          "{\"baggage\":\"a=" + std::string(2'000'000, 'x') + "\"}",
                                          std::string(100'000, '['),
                                          "\r"};
  std::string input;
  for (const std::string& line : lines) input += line + "\n";
  const Outcome outcome = Headers({"decode"}, input + "{}");  // The last line has no end.
  EXPECT_EQ(outcome.code, 0);
  std::istringstream out(outcome.out);
  std::size_t count = 0;
  for (std::string line; std::getline(out, line); ++count) {
    EXPECT_EQ(Object(line).size(), 11u) << line.substr(0, 200);
  }
  EXPECT_EQ(count, lines.size() + 1);
}

TEST(HeadersDecodeTest, LooksAtHeadersOfAnySize) {
  std::string deep(kRoot);
  for (int i = 0; i < 1000; ++i) deep += "." + std::string(kRoot);
  EXPECT_EQ(Decode({{"langsmith-trace", deep}}).at("dotted_order"), Json(deep));
}

JsonObject Encode(const JsonObject& context) {
  const Outcome outcome = Headers({"encode"}, boost::json::serialize(context) + "\n");
  EXPECT_EQ(outcome.code, 0);
  return Object(outcome.out);
}

TEST(HeadersEncodeTest, WritesTheThreeHeaders) {
  EXPECT_EQ(
      Encode({{"id", "01A0B35E-7A00-7000-8000-00000000ABCD"},
              {"trace_id", "01a0b35e-7a00-7000-8000-000000000001"},
              {"dotted_order", kRoot},
              {"project", "caf\xC3\xA9"},
              {"address", nullptr},
              {"tags", {"a b", "c"}},
              {"metadata", {{"k", 1}}}}),
      (JsonObject{{"langsmith-trace", kRoot},
                  {"baggage",
                   "langsmith-metadata=%7B%22k%22%3A1%7D,langsmith-tags=a%20b%2Cc,"
                   "langsmith-project=caf%C3%A9"},
                  {"traceparent", "00-01a0b35e7a0070008000000000000001-800000000000abcd-01"}}));
}

TEST(HeadersEncodeTest, AbsentValuesLeaveTheirHeaderOut) {
  EXPECT_EQ(Encode({}), JsonObject());
  EXPECT_EQ(Encode({{"tags", JsonArray()}, {"metadata", JsonObject()}, {"project", ""}}),
            JsonObject());
  EXPECT_EQ(Encode({{"id", "01a0b35e-7a00-7000-8000-000000000001"}}), JsonObject());
  EXPECT_EQ(Encode({{"address", "lrn:agents/a/environments/local"}}),
            (JsonObject{{"baggage", "langsmith-address=lrn%3Aagents%2Fa%2Fenvironments%2Flocal"}}));
}

TEST(HeadersEncodeTest, NothingIsCutOff) {
  const std::string large(100'000, 'x');
  const JsonObject decoded = Decode(Encode({{"metadata", {{"large", large}}}, {"tags", {large}}}));
  EXPECT_EQ(decoded.at("metadata").at("large"), Json(large));
  EXPECT_EQ(decoded.at("tags").at(0), Json(large));
}

TEST(HeadersEncodeTest, NamesOnStderrWhatCannotBeSent) {
  const Outcome outcome = Headers({"encode"},
                                  "{}\n{\"dotted_order\":\"x\",\"id\":\"y\",\"tags\":[1],"
                                  "\"metadata\":[],\"address\":\"z\"}\nno\n");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "{}\n{}\n{}\n");
  for (const std::string_view name :
       {"`dotted_order`", "`id`", "`tags`", "`metadata`", "`address`"}) {
    EXPECT_THAT(outcome.err, HasSubstr("line 2: " + std::string(name)));
  }
  EXPECT_THAT(outcome.err, HasSubstr("line 3: the line is no JSON object"));
}

TEST(HeadersSampleTest, DecidesByTheIdInLowerCase) {
  const Outcome outcome = Headers({"sample", "--rate", "0.42589"},
                                  "01A0B35E-7A00-7000-8000-000000000002\n"
                                  "01a0b35e-7a00-7000-8000-000000000001\n");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "true\nfalse\n");
}

TEST(HeadersSampleTest, HashesOtherTextAsItIs) {
  // XXH3-128 modulo a million: ABC 132110, abc 469136, nothing 619839.
  const std::string input = "ABC\nabc\n\n";
  EXPECT_EQ(Headers({"sample", "--rate=0.13211"}, input).out, "false\nfalse\nfalse\n");
  EXPECT_EQ(Headers({"sample", "--rate=0.132111"}, input).out, "true\nfalse\nfalse\n");
  EXPECT_EQ(Headers({"sample", "--rate=0.61984"}, input).out, "true\ntrue\ntrue\n");
}

TEST(HeadersSampleTest, WrongRatesEndWithTwoAndNameTheOption) {
  for (const std::string_view rate :
       {"", "x", "-0.1", "1.1", "nan", "inf", "0.5x", " 0.5", "1e999"}) {
    const Outcome outcome = Headers({"sample", "--rate", rate}, "a\n");
    EXPECT_EQ(outcome.code, 2) << rate;
    EXPECT_THAT(outcome.err, HasSubstr("--rate")) << rate;
    EXPECT_EQ(outcome.out, "") << rate;
  }
  EXPECT_EQ(Headers({"sample"}, "a\n").code, 2);
  EXPECT_THAT(Headers({"sample"}, "a\n").err, HasSubstr("--rate"));
  EXPECT_THAT(Headers({"sample", "--rate"}, "a\n").err, HasSubstr("--rate"));
}

TEST(HeadersCommandTest, WrongUseEndsWithTwoAndNamesWhatIsWrong) {
  EXPECT_EQ(Headers({}).code, 2);
  EXPECT_THAT(Headers({"frobnicate"}).err, HasSubstr("frobnicate"));
  EXPECT_EQ(Headers({"frobnicate"}).code, 2);
  EXPECT_THAT(Headers({"decode", "--rate", "1"}).err, HasSubstr("--rate"));
  EXPECT_EQ(Headers({"decode", "--rate", "1"}).code, 2);
  EXPECT_EQ(Headers({"encode", "file"}).code, 2);
}

TEST(HeadersCommandTest, HelpGoesToStdout) {
  for (const std::vector<std::string_view>& args : {std::vector<std::string_view>{"--help"},
                                                    {"decode", "--help"},
                                                    {"encode", "-h"},
                                                    {"sample", "--help"}}) {
    const Outcome outcome = Headers(args);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, StartsWith("Usage: weft headers"));
  }
}

}  // namespace
}  // namespace weft::cli
