// SPDX-License-Identifier: Apache-2.0
#include "collector_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::HasSubstr;

TEST(CollectorClientTest, KeepsRunsAsTheyWereWrittenOnOneLine) {
  std::string cursor;
  const auto runs = ParseRuns(
      "{\"runs\": [{\"id\": \"a\",\n  \"x\": [1.10, 1e5, 12345678901234567890123],\n"
      "  \"name\": \"two  blanks\"}, {\"id\":\"b\"}],"
      " \"cursors\": {\"next\": \"c1\"}}",
      &cursor);
  ASSERT_TRUE(runs.ok()) << runs.status().message();
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].json,
            R"({"id":"a","x":[1.10,1e5,12345678901234567890123],"name":"two  blanks"})");
  EXPECT_EQ((*runs)[0].view.name, "two  blanks");
  EXPECT_EQ((*runs)[1].view.id, "b");
  EXPECT_EQ(cursor, "c1");
}

TEST(CollectorClientTest, ReadsRunsAsDeepAsTheCollectorTakes) {
  const std::string deep = std::string(256, '[') + std::string(256, ']');
  std::string cursor;
  const auto runs = ParseRuns(R"({"runs":[{"id":"a","inputs":)" + deep + "}]}", &cursor);
  ASSERT_TRUE(runs.ok()) << runs.status().message();
  EXPECT_THAT(runs->front().json, HasSubstr(deep));
}

TEST(CollectorClientTest, SeesTheEndOfThePages) {
  for (const char* body : {R"({"runs":[],"cursors":{"next":null}})", R"({"runs":[]})"}) {
    std::string cursor = "before";
    ASSERT_TRUE(ParseRuns(body, &cursor).ok());
    EXPECT_EQ(cursor, "");
  }
}

TEST(CollectorClientTest, RefusesWhatIsNoListOfRuns) {
  std::string cursor;
  for (const char* body : {"", "<html>", "[]", "{}", R"({"runs":{}})", R"({"runs":[1]})",
                           R"({"runs":[{"name":"no id"}]})", R"({"runs":[{"id":"a"})"}) {
    EXPECT_FALSE(ParseRuns(body, &cursor).ok()) << body;
  }
}

TEST(CollectorClientTest, ReadsWhatIsShownOfARun) {
  std::string cursor;
  const auto runs = ParseRuns(
      R"({"runs":[{"id":"a","trace_id":"t","parent_run_id":"p","run_type":"llm",
      "start_time":"2026-11-21T10:00:00.000001Z","end_time":"2026-11-21T10:00:01.500001Z",
      "status":"error","error":"bad","session_name":"project",
      "extra":{"metadata":{"service.name":"s","process.pid":42,"otel_kind":"SERVER",
      "rpc.method":"M","weft.server_api":"cq",
      "usage_metadata":{"input_tokens":5,"output_tokens":2}}}}]})",
      &cursor);
  ASSERT_TRUE(runs.ok()) << runs.status().message();
  const RunView& run = runs->front().view;
  EXPECT_EQ(run.DurationUs(), 1'500'000);
  EXPECT_EQ(run.process_id, "42");
  EXPECT_EQ(run.input_tokens, 5);
  EXPECT_EQ(run.output_tokens, 2);
  EXPECT_TRUE(run.IsServer());
  EXPECT_EQ(run.server_api, "cq");
  EXPECT_EQ(run.error, "bad");
}

TEST(CollectorClientTest, TakesFieldsOfOtherTypesForAbsent) {
  std::string cursor;
  const auto runs = ParseRuns(
      R"({"runs":[{"id":"a","name":7.5,"start_time":"yesterday","end_time":3,"extra":[],
      "outputs":{"usage_metadata":{"input_tokens":"many"}}}]})",
      &cursor);
  ASSERT_TRUE(runs.ok()) << runs.status().message();
  const RunView& run = runs->front().view;
  EXPECT_EQ(run.name, "");
  EXPECT_FALSE(run.start_us || run.end_us || run.input_tokens);
}

TEST(CollectorClientTest, ReadsTraceIdsInBothForms) {
  const std::string id = "01a0b35e-7a00-7a11-9a22-0123456789ab";
  EXPECT_EQ(*ParseTraceId(id), id);
  EXPECT_EQ(*ParseTraceId("01A0B35E7A007A119A220123456789AB"), id);
  EXPECT_THAT(std::string(ParseTraceId("nonsense").status().message()), HasSubstr("'nonsense'"));
}

}  // namespace
}  // namespace weft::cli
