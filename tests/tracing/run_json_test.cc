// SPDX-License-Identifier: Apache-2.0
#include "run_json.h"

#include <limits>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/seeded_ids.h>
#include <weft/version.h>

#include "json_writer.h"
#include "run_batch_writer.h"
#include "utf8.h"

namespace weft {
namespace {

using internal::RunJson;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const auto kStart =
    std::chrono::system_clock::time_point(std::chrono::microseconds(1'767'323'045'000'123));

RunContext Root(TraceBaggage baggage = {}) {
  testing::SeededIds ids;
  return RunContext::Root(ids.New(kStart), kStart, std::make_shared<TraceBaggage>(baggage));
}

RunRecord Record(RunContext context) {
  RunRecord record;
  record.context = std::move(context);
  record.name = "run";
  record.start = kStart;
  return record;
}

std::string Written(const Json& value) {
  std::string text;
  internal::AppendJson(text, value);
  return text;
}

TEST(RunJsonTest, WritesAnOpenRoot) {
  RunJson json;
  json.Write(Record(Root({.project = "p"})));
  EXPECT_EQ(json.run(),
            "{\"id\":\"019b7ca9-8c88-7000-8000-000000000001\","
            "\"trace_id\":\"019b7ca9-8c88-7000-8000-000000000001\","
            "\"dotted_order\":\"20260102T030405000123Z019b7ca9-8c88-7000-8000-000000000001\","
            "\"run_type\":\"chain\",\"start_time\":\"2026-01-02T03:04:05.000123Z\","
            "\"name\":\"run\",\"session_name\":\"p\"}");
  EXPECT_EQ(json.inputs(), "{}");
  EXPECT_THAT(json.outputs(), IsEmpty());
  EXPECT_THAT(json.error(), IsEmpty());
  EXPECT_THAT(json.events(), IsEmpty());
}

TEST(RunJsonTest, WritesAFinishedChild) {
  testing::SeededIds ids(1);
  RunRecord record = Record(Root().Child(ids.New(kStart), kStart));
  record.end = kStart + std::chrono::microseconds(7);
  record.type = RunType::kLlm;
  record.outputs = JsonObject{};
  record.error = "a \"b\"";
  record.tags = {"t", "t"};
  record.events.push_back({"e", kStart, {{"k", 1}}});
  RunJson json;
  json.Write(record);
  const JsonObject run = boost::json::parse(json.run()).as_object();
  EXPECT_EQ(run.at("parent_run_id"), Json("019b7ca9-8c88-7000-8000-000000000001"));
  EXPECT_EQ(run.at("trace_id"), run.at("parent_run_id"));
  EXPECT_EQ(run.at("end_time"), Json("2026-01-02T03:04:05.000130Z"));
  EXPECT_EQ(run.at("run_type"), Json("llm"));
  EXPECT_EQ(run.at("tags"), Json(JsonArray{"t"}));
  EXPECT_EQ(json.outputs(), "{}");
  EXPECT_EQ(json.error(), "\"a \\\"b\\\"\"");
  EXPECT_EQ(json.events(),
            "[{\"name\":\"e\",\"time\":\"2026-01-02T03:04:05.000123Z\",\"kwargs\":{\"k\":1}}]");
}

TEST(RunJsonTest, SaysTheAddressOrTheProject) {
  RunJson json;
  json.Write(Record(Root({.project = "p", .address = "lrn:agents/a/environments/local"})));
  const JsonObject run = boost::json::parse(json.run()).as_object();
  EXPECT_EQ(run.at("address"), Json("lrn:agents/a/environments/local"));
  EXPECT_FALSE(run.contains("session_name"));
  json.Write(Record(Root()));
  EXPECT_THAT(std::string(json.run()), HasSubstr("\"session_name\":\"default\""));
}

TEST(RunJsonTest, LeavesInputsOutOfAPatchThatHasNone) {
  RunRecord record = Record(Root());
  record.operation = RunRecord::Operation::kPatch;
  RunJson json;
  json.Write(record);
  EXPECT_THAT(json.inputs(), IsEmpty());
  record.inputs = {{"k", 1}};
  json.Write(record);
  EXPECT_EQ(json.inputs(), "{\"k\":1}");
}

TEST(RunJsonTest, SaysWhatMadeTheRun) {
  RunJson json;
  json.Write(Record(Root()));
  const Json extra = boost::json::parse(json.extra());
  const JsonObject& runtime = extra.at("runtime").as_object();
  EXPECT_EQ(runtime.at("sdk"), Json("weft-cpp"));
  EXPECT_EQ(runtime.at("sdk_version"), Json(WEFT_VERSION));
  EXPECT_EQ(runtime.at("library"), Json("weft"));
  EXPECT_EQ(runtime.at("runtime"), Json("c++"));
  EXPECT_TRUE(runtime.contains("platform"));
  EXPECT_TRUE(runtime.contains("compiler"));
  EXPECT_EQ(extra.at("metadata"), Json(JsonObject()));
}

TEST(RunJsonTest, MergesMetadataOfEveryLevelAndSaysEachKeyOnce) {
  RunRecord record = Record(Root({.metadata = {{"inherited", 1}, {"a", "inherited"}}}));
  record.environment = std::make_shared<const RunEnvironment>(JsonObject{{"env", 1}, {"a", "env"}});
  record.kind = std::make_shared<const RunTemplate>("kind", RunType::kTool,
                                                    JsonObject{{"kind", 1}, {"b", "kind"}});
  record.attributes = {{"attribute", std::int64_t{1}}, {"b", std::string("attribute")}};
  record.metadata = {{"own", 1}, {"a", "own"}};
  RunJson json;
  json.Write(record);
  const JsonObject wanted = {{"inherited", 1}, {"env", 1},   {"kind", 1},       {"attribute", 1},
                             {"own", 1},       {"a", "own"}, {"b", "attribute"}};
  EXPECT_EQ(boost::json::parse(json.extra()).at("metadata"), Json(wanted));
  EXPECT_EQ(record.AllMetadata(), wanted);
  const std::string text(json.extra());
  EXPECT_EQ(text.find("\"a\":"), text.rfind("\"a\":"));
}

TEST(RunJsonTest, KeepsTheProcessesOwnNameWhenACallerHandsDownItsOwn) {
  RunRecord record = Record(Root({.metadata = {{"service.name", "caller"}}}));
  record.environment =
      std::make_shared<const RunEnvironment>(JsonObject{{"service.name", "callee"}});
  RunJson json;
  json.Write(record);
  EXPECT_EQ(boost::json::parse(json.extra()).at_pointer("/metadata/service.name"), "callee");
}

TEST(RunJsonTest, WritesDistinctMetadataWithoutBuildingAnObject) {
  RunRecord record = Record(Root({.metadata = {{"inherited", 1}}}));
  record.kind =
      std::make_shared<const RunTemplate>("kind", RunType::kTool, JsonObject{{"kind", 1}});
  record.attributes = {
      {"n", std::int64_t{1}}, {"d", 0.5}, {"b", true}, {"s", std::string_view("v")}};
  RunJson json;
  json.Write(record);
  EXPECT_THAT(std::string(json.extra()),
              StartsWith("{\"metadata\":{\"kind\":1,\"inherited\":1,\"n\":1,\"d\":0.5,\"b\":true,"
                         "\"s\":\"v\"},"));
}

TEST(RunJsonTest, CutsTheLargestFieldsOfARunThatIsTooLarge) {
  RunRecord record = Record(Root());
  record.inputs = {{"small", 1}};
  record.outputs = JsonObject{{"large", std::string(100'000, 'x')}};
  record.error = std::string(50'000, 'e');
  RunJson json;
  json.Write(record, 10'000);
  EXPECT_EQ(json.inputs(), "{\"small\":1}");
  const Json outputs = boost::json::parse(json.outputs());
  EXPECT_EQ(outputs.at("weft_truncated").at("bytes"), Json(100'012));
  EXPECT_THAT(std::string(json.error()), HasSubstr("weft_truncated: 50002 bytes"));
  EXPECT_LT(json.run().size() + json.outputs().size() + json.error().size(), 10'000u);
}

TEST(RunJsonTest, CutsANameAndTagsThatAreTooLarge) {
  RunRecord record;
  record.context = RunContext::Root(RunId::New({}), {}, nullptr);
  record.name = std::string(5000, 'n');
  record.inputs = {{"text", std::string(5000, 'i')}};
  record.tags = {std::string(5000, 't')};
  internal::RunJson json;
  json.Write(record, 16'000);
  EXPECT_EQ(boost::json::parse(json.run()).at("tags").at(0).as_string(), record.tags[0]);
  json.Write(record, 8'000);
  const Json run = boost::json::parse(json.run());
  EXPECT_EQ(run.at("name").as_string(), std::string(1024, 'n'));
  EXPECT_EQ(run.at("tags").at(0).as_string(), "weft_truncated");
  EXPECT_EQ(run.at("id").as_string(), record.context.id().ToString());
  EXPECT_TRUE(boost::json::parse(json.inputs()).as_object().contains("weft_truncated"));
  EXPECT_LT(json.run().size() + json.inputs().size() + json.extra().size(), 8'000u);
}

TEST(RunJsonTest, SaysWhenTheFirstTokenCame) {
  RunRecord record = Record(Root());
  record.events.push_back({"cache_miss", kStart, {}});
  RunJson json;
  json.Write(record);
  EXPECT_FALSE(boost::json::parse(json.run()).as_object().contains("first_token_time"));
  record.events.push_back({"new_token", kStart + std::chrono::milliseconds(7), {}});
  record.events.push_back({"new_token", kStart + std::chrono::milliseconds(9), {}});
  json.Write(record);
  EXPECT_EQ(boost::json::parse(json.run()).at("first_token_time").as_string(),
            "2026-01-02T03:04:05.007123Z");
}

TEST(JsonWriterTest, KeepsNumbersExact) {
  EXPECT_EQ(Written(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Written(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(Written(0.1), "0.1");
  EXPECT_EQ(Written(5.0), "5.0");
  EXPECT_EQ(Written(1e300), "1e+300");
  EXPECT_EQ(Written(std::numeric_limits<double>::quiet_NaN()), "null");
  EXPECT_EQ(Written(-std::numeric_limits<double>::infinity()), "null");
}

TEST(JsonWriterTest, EscapesWhatJsonReserves) {
  EXPECT_EQ(Written(Json(std::string_view("\0\x1f\"\\\n\t\r/\x7f", 9))),
            "\"\\u0000\\u001f\\\"\\\\\\n\\t\\r/\x7f\"");
  EXPECT_EQ(Written(Json("\xE2\x82\xAC")), "\"\xE2\x82\xAC\"");
  EXPECT_EQ(Written(Json("a\xff\xc0z\xed\xa0\x80")),
            "\"a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonWriterTest, EndsAtADepthThatReadersTake) {
  Json deep = 1;
  for (int i = 0; i < 10'000; ++i) {
    JsonArray outer;
    outer.push_back(std::move(deep));
    deep = std::move(outer);
  }
  const std::string text = Written(deep);
  EXPECT_EQ(text, std::string(internal::kMaxJsonDepth + 1, '[') + "null" +
                      std::string(internal::kMaxJsonDepth + 1, ']'));
}

TEST(JsonWriterTest, WritesTimesOfAllYears) {
  const auto written = [](std::int64_t seconds) {
    std::string text;
    internal::AppendIsoTime(text,
                            std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
    return text;
  };
  EXPECT_EQ(written(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(written(951'782'399), "2000-02-28T23:59:59.000000Z");
  EXPECT_EQ(written(951'782'400), "2000-02-29T00:00:00.000000Z");
  EXPECT_EQ(written(-1), "1969-12-31T23:59:59.000000Z");
}

/// Bytes and values that nobody would write on purpose.
class Anything {
 public:
  explicit Anything(unsigned seed) : random_(seed) {}

  std::string Bytes() {
    std::string bytes(random_() % 40, '\0');
    for (char& c : bytes) {
      // Plain bytes often enough that multi-byte characters get cut in the middle of text.
      c = static_cast<char>(random_() % 3 == 0 ? random_()
                                               : "\xE2\x82\xAC\"\\a\xF0\x9F"[random_() % 8]);
    }
    return bytes;
  }

  Json Value(int depth = 0) {
    switch (random_() % (depth > 4 ? 5 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return random_() % 2 == 0;
      case 2:
        return static_cast<std::int64_t>((std::uint64_t{random_()} << 32) | random_());
      case 3: {
        const std::uint64_t bits = (std::uint64_t{random_()} << 32) | random_();
        double number = 0;
        std::memcpy(&number, &bits, sizeof(number));
        return number;
      }
      case 4:
        return Json(Bytes());
      case 5:
        return Object(depth + 1);
      default: {
        JsonArray array;
        for (unsigned i = random_() % 4; i > 0; --i) array.push_back(Value(depth + 1));
        return array;
      }
    }
  }

  JsonObject Object(int depth = 0) {
    JsonObject object;
    for (unsigned i = random_() % 4; i > 0; --i) object.insert_or_assign(Bytes(), Value(depth + 1));
    return object;
  }

 private:
  std::mt19937 random_;
};

void ExpectJson(std::string_view text, unsigned seed) {
  if (text.empty()) return;
  boost::json::error_code error;
  const Json parsed = boost::json::parse(text, error);
  EXPECT_FALSE(error) << "seed " << seed << ": " << error.message() << " in " << text;
  EXPECT_TRUE(internal::IsValidUtf8(text)) << "seed " << seed;
}

TEST(RunJsonTest, WritesValidJsonWhateverItIsGiven) {
  for (unsigned seed = 0; seed < 3'000; ++seed) {
    Anything any(seed);
    RunRecord record =
        Record(Root({.project = any.Bytes(), .tags = {any.Bytes()}, .metadata = any.Object()}));
    record.name = any.Bytes();
    record.inputs = any.Object();
    record.outputs = any.Object();
    record.error = any.Bytes();
    record.tags = {any.Bytes(), any.Bytes()};
    record.metadata = any.Object();
    record.attributes = {{"attribute", any.Bytes()}};
    record.events.push_back({any.Bytes(), kStart, any.Object()});
    RunJson json;
    json.Write(record);
    for (const std::string_view text :
         {json.run(), json.inputs(), json.outputs(), json.events(), json.extra(), json.error()}) {
      ExpectJson(text, seed);
    }
  }
}

}  // namespace
}  // namespace weft
