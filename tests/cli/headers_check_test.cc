// SPDX-License-Identifier: Apache-2.0
#include "headers_check.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headers_command.h"
#include "sdk_readers.h"

namespace weft::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kRoot = "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001";
constexpr std::string_view kChild =
    "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001."
    "20260910T004640005002Z01a0b35e-7a05-7000-8000-000000000002";

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Check(std::vector<std::string_view> args, const std::string& input = "") {
  args.insert(args.begin(), "check");
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const int code = HeadersCommand(args, in, out, err);
  return {code, out.str(), err.str()};
}

JsonObject Facts(std::vector<std::string_view> args, const std::string& input = "") {
  args.push_back("--json");
  const Outcome outcome = Check(args, input);
  const std::optional<Json> json = ParseJson(outcome.out);
  EXPECT_TRUE(json && json->is_object()) << outcome.out;
  return json && json->is_object() ? json->get_object() : JsonObject();
}

// What LangSmith's own SDKs made of headers, good and bad.
JsonArray Vectors(const std::string& name, std::string_view kind) {
  std::ifstream file(std::string(WEFT_SOURCE_DIR) + "/tests/vectors/langsmith/" + name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::optional<Json> json = ParseJson(text);
  EXPECT_TRUE(json.has_value()) << name;
  return json ? json->at({kind.data(), kind.size()}).as_array() : JsonArray();
}

std::string Text(const Json& value) { return std::string(std::string_view(value.as_string())); }

HeaderFields Fields(const Json& vector) {
  JsonArray problems;
  return ReadHeadersLine(boost::json::serialize(vector.at("headers")), problems);
}

void ExpectRun(const Json& run, const HeaderReading& reading) {
  ASSERT_EQ(reading.outcome, HeaderReading::Outcome::kParent);
  const auto id = [](const Json& value) {
    return Text(value) == "<generated>" ? std::string() : Text(value);
  };
  EXPECT_EQ(reading.run_id, id(run.at("id")));
  EXPECT_EQ(reading.trace_id, id(run.at("trace_id")));
  if (run.at("project_name").is_null()) {
    EXPECT_TRUE(reading.no_project);
  } else {
    EXPECT_FALSE(reading.no_project);
    EXPECT_EQ(reading.project.value_or("default"), Text(run.at("project_name")));
  }
  const Json& tags = run.at("tags");
  EXPECT_EQ(JsonArray(reading.tags.begin(), reading.tags.end()),
            tags.is_array() ? tags.as_array() : JsonArray());
  EXPECT_EQ(Json(reading.metadata), run.at("metadata"));
  const Json& replicas = run.at("replicas");
  EXPECT_EQ(reading.replicas, replicas.is_array() ? replicas.as_array().size() : 0);
}

template <typename Read>
void ExpectVectors(const std::string& name, const Read& read) {
  const JsonArray vectors = Vectors(name, "parse");
  EXPECT_GT(vectors.size(), 60u);
  for (const Json& vector : vectors) {
    SCOPED_TRACE(Text(vector.at("name")));
    const HeaderReading reading = read(Fields(vector));
    const std::string result = Text(vector.at("result"));
    if (result == "run") {
      ExpectRun(vector.at("run"), reading);
    } else if (result == "none") {
      EXPECT_EQ(reading.outcome, HeaderReading::Outcome::kNoParent);
    } else {
      EXPECT_EQ(reading.outcome, HeaderReading::Outcome::kThrows);
      EXPECT_EQ(reading.error, Text(vector.at("error_class")));
    }
  }
}

TEST(SdkReadersTest, ReadsWhatThePythonSdkReads) {
  ExpectVectors("headers.python.json", ReadLikePython);
}

TEST(SdkReadersTest, ReadsWhatTheNpmSdkReads) { ExpectVectors("headers.json", ReadLikeNpm); }

TEST(HeadersCheckTest, FindsNothingWrongWithWhatTheSdksWrite) {
  for (const std::string name : {"headers.json", "headers.python.json"}) {
    for (const Json& vector : Vectors(name, "emit")) {
      const HeadersCheck check = CheckHeaders(Fields(vector), {});
      EXPECT_TRUE(check.good) << vector.at("name") << ExplainHeaders(check);
    }
  }
}

TEST(HeadersCheckTest, IsGoodOnlyWhereAllTakeTheSameCaller) {
  std::size_t good = 0;
  for (const Json& vector : Vectors("headers.json", "parse")) {
    const HeadersCheck check = CheckHeaders(Fields(vector), {});
    EXPECT_FALSE(ExplainHeaders(check).empty());
    if (!check.good) continue;
    ++good;
    EXPECT_EQ(check.facts.at("problems").as_array().size(), 0u) << vector.at("name");
    for (const std::string_view reader : {"python", "npm"}) {
      const JsonObject& reading =
          check.facts.at("readers").as_object().at({reader.data(), reader.size()}).as_object();
      EXPECT_EQ(reading.at("parent_run_id"), check.facts.at("parent_run_id")) << vector.at("name");
    }
  }
  EXPECT_GT(good, 10u);
  EXPECT_LT(good, 40u);
}

TEST(HeadersCheckTest, SaysWhatGoodHeadersSay) {
  const std::string trace = "langsmith-trace: " + std::string(kChild);
  const Outcome outcome = Check({trace,
                                 "baggage=langsmith-metadata=%7B%22user_id%22%3A%22u-7%22%7D,"
                                 "langsmith-tags=a%2Cb,langsmith-project=checkout"});
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_EQ(outcome.err, "");
  for (const std::string_view words :
       {"a run with 1 run above it", "2026-09-10 00:46:40.000001Z  01a0b35e-7a00",
        "the root, which gives the trace its id", "+5.00 ms", "the caller", "project   checkout",
        "tags      a, b", R"({"user_id":"u-7"})", "bucket 924,835 of 1,000,000",
        "rates above 0.924835", "Nothing is wrong."}) {
    EXPECT_THAT(outcome.out, HasSubstr(words));
  }
}

TEST(HeadersCheckTest, SaysWhatEachSdkMakesOfBadOnes) {
  const Outcome garbage = Check({"langsmith-trace=not-a-dotted-order"});
  EXPECT_EQ(garbage.code, 1);
  EXPECT_THAT(garbage.out, HasSubstr("bad-langsmith-trace"));
  EXPECT_THAT(garbage.out, HasSubstr("weft             no parent: a new trace"));
  EXPECT_THAT(garbage.out, HasSubstr("throws ValueError: behind TracingMiddleware"));
  EXPECT_THAT(garbage.out, HasSubstr("npm SDK          a parent that it makes up"));

  const Outcome blank =
      Check({std::string_view(kRoot), "baggage: langsmith-project=p, langsmith-tags=t"});
  EXPECT_EQ(blank.code, 0) << blank.out;
  EXPECT_THAT(blank.out, HasSubstr("does not know `langsmith-tags` with a blank beside its name"));
  EXPECT_THAT(blank.out, HasSubstr("mind what stands beside the SDKs"));
  EXPECT_THAT(blank.out, HasSubstr("the root of a trace"));

  const Outcome foreign = Check({std::string_view(kRoot), "baggage: x=%zz,langsmith-project=p"});
  EXPECT_EQ(foreign.code, 1);
  EXPECT_THAT(foreign.out, HasSubstr("npm SDK          throws URIError"));
}

TEST(HeadersCheckTest, NoticesNamesThatOnlyFrameworksMakeLower) {
  const std::string trace = "Langsmith-Trace: " + std::string(kRoot);
  const Outcome outcome = Check({trace});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("finds `Langsmith-Trace` only if the framework"));
  EXPECT_THAT(outcome.out, HasSubstr("Not every SDK finds the caller."));
}

TEST(HeadersCheckTest, CountsReplicasThatWeftDoesNotFollow) {
  const JsonObject facts = Facts(
      {std::string_view(kRoot),
       "baggage=langsmith-project=p,langsmith-replicas=%5B%7B%22project_name%22%3A%22b%22%7D%5D"});
  EXPECT_EQ(facts.at("replicas").to_number<int>(), 1);
  EXPECT_EQ(facts.at("readers").at("weft").at("replicas").to_number<int>(), 0);
  EXPECT_EQ(facts.at("readers").at("python").at("replicas").to_number<int>(), 1);
}

TEST(HeadersCheckTest, PrintsJson) {
  const JsonObject facts = Facts({std::string_view(kChild)});
  EXPECT_EQ(facts.at("good"), Json(true));
  EXPECT_EQ(facts.at("parent_run_id"), Json("01a0b35e-7a05-7000-8000-000000000002"));
  EXPECT_EQ(facts.at("segments").as_array().size(), 2u);
  EXPECT_EQ(facts.at("segments").at(1).at("after_us"), Json(5001));
  EXPECT_EQ(facts.at("segments").at(1).at("time"), Json("2026-09-10T00:46:40.005002Z"));
  EXPECT_EQ(facts.at("sampling").at("bucket").to_number<int>(), 924835);
  EXPECT_EQ(facts.at("readers").at("npm").at("parent_run_id"), facts.at("parent_run_id"));
}

TEST(HeadersCheckTest, ReadsHeadersAsCurlPrintsThem) {
  const std::string input =
      "> POST /advice HTTP/1.1\r\n> Host: localhost\r\n> langsmith-trace: " + std::string(kChild) +
      "\r\n> baggage: langsmith-project=p\r\n> \r\n";
  const JsonObject facts = Facts({}, input);
  EXPECT_EQ(facts.at("good"), Json(true)) << facts;
  EXPECT_EQ(facts.at("project"), Json("p"));
}

TEST(HeadersCheckTest, ReadsAJsonObjectPerLine) {
  const Outcome outcome = Check({"--json"}, R"({"langsmith-trace":"x"})"
                                            "\n{}\n");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
}

TEST(HeadersCheckTest, ReadsTheEnvironment) {
  ::setenv("LANGSMITH_TRACE", std::string(kRoot).c_str(), 1);
  const JsonObject facts = Facts({"--environment"});
  ::unsetenv("LANGSMITH_TRACE");
  EXPECT_EQ(facts.at("dotted_order"), Json(kRoot));
}

TEST(HeadersCheckTest, NothingIsWrongWithoutHeaders) {
  const Outcome outcome = Check({});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("names no caller"));
}

TEST(HeadersCheckTest, SaysThatTheSdksDoNotKnowTraceparent) {
  const Outcome outcome =
      Check({"traceparent=00-01a0b35e7a0070008000000000000001-800000000000abcd-01"});
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_THAT(outcome.out, HasSubstr("span 800000000000abcd, sampled"));
  EXPECT_THAT(outcome.out, HasSubstr("Python SDK       no parent"));
}

TEST(HeadersCheckTest, SendsNothingToTheTerminalThatDrivesIt) {
  const Outcome outcome =
      Check({std::string_view(kRoot), "baggage: langsmith-project=%1B%5B2J,a=%1b"});
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
}

TEST(HeadersCheckTest, WrongUseEndsWithTwo) {
  EXPECT_EQ(Check({"--rate"}).code, 2);
  EXPECT_THAT(Check({"--rate"}).err, HasSubstr("--rate"));
  EXPECT_EQ(Check({"--environment", std::string_view(kRoot)}).code, 2);
  EXPECT_EQ(Check({"no header"}).code, 2);
  EXPECT_THAT(Check({"no header"}).err, HasSubstr("no header"));
  EXPECT_EQ(Check({"--help"}).code, 0);
}

}  // namespace
}  // namespace weft::cli
