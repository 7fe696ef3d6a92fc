// SPDX-License-Identifier: Apache-2.0
// tests/vectors/otlp: a span each, and what its run must have.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "destinations/run_json.h"
#include "otlp/json_request.h"
#include "otlp/span_to_run.h"
#include "otlp/trace_request.h"

namespace weft::collector {
namespace {

namespace json = boost::json;

constexpr json::parse_options kDeep{.max_depth = 64};

std::vector<std::filesystem::path> Vectors() {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(WEFT_SOURCE_DIR "/tests/vectors/otlp")) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Where `actual` lacks something of `expected`; empty: nowhere. Lists must be as long.
std::string Lack(const json::value& expected, const json::value& actual, const std::string& path) {
  if (const json::object* const members = expected.if_object()) {
    for (const auto& [key, value] : *members) {
      const std::string at = path + "/" + std::string(key);
      const json::value* const found =
          actual.is_object() ? actual.get_object().if_contains(key) : nullptr;
      if (found == nullptr) return at + " is missing";
      if (std::string lack = Lack(value, *found, at); !lack.empty()) return lack;
    }
    return "";
  }
  if (const json::array* const list = expected.if_array()) {
    if (!actual.is_array() || actual.get_array().size() != list->size()) {
      return path + " is " + json::serialize(actual);
    }
    for (std::size_t i = 0; i < list->size(); ++i) {
      std::string lack = Lack((*list)[i], actual.get_array()[i], path + "/" + std::to_string(i));
      if (!lack.empty()) return lack;
    }
    return "";
  }
  return expected == actual ? "" : path + " is " + json::serialize(actual);
}

bool Has(const json::value& value, std::string_view pointer) {
  json::error_code error;
  return value.find_pointer({pointer.data(), pointer.size()}, error) != nullptr;
}

json::object With(json::object defaults, const json::object& given) {
  for (const auto& [key, value] : given) defaults[key] = value;
  return defaults;
}

std::string RequestOf(const json::object& vector) {
  const json::object defaults = {{"traceId", "0102030405060708090a0b0c0d0e0f10"},
                                 {"spanId", "1112131415161718"},
                                 {"name", "step"},
                                 {"startTimeUnixNano", "1790000000000000000"},
                                 {"endTimeUnixNano", "1790000001000000000"}};
  json::object scope_spans = {
      {"spans", json::array{With(defaults, vector.at("span").as_object())}}};
  if (vector.contains("scope")) scope_spans["scope"] = vector.at("scope");
  json::object resource_spans = {{"scopeSpans", json::array{scope_spans}}};
  if (vector.contains("resource")) resource_spans["resource"] = vector.at("resource");
  return json::serialize(json::object{{"resourceSpans", json::array{resource_spans}}});
}

std::vector<ModelPrice> PricesOf(const json::array& list) {
  std::vector<ModelPrice> prices;
  for (const json::value& each : list) {
    ModelPrice price{.model = std::string(each.at("model").as_string()),
                     .input = each.at("input").to_number<double>(),
                     .output = each.at("output").to_number<double>()};
    if (const json::value* const cached = each.as_object().if_contains("cache_read")) {
      price.cache_read = cached->to_number<double>();
    }
    prices.push_back(std::move(price));
  }
  return prices;
}

struct Converted {
  SpanRun run;
  json::value object;
  json::array feedback, attachments;
};

void Convert(const json::object& vector, Converted* out) {
  absl::StatusOr<std::string> request = TraceRequestFromJson(RequestOf(vector));
  ASSERT_TRUE(request.ok()) << request.status();
  auto decoded = DecodeTraceRequest("", &*request);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->ops.size(), 1u);
  const RunOp& op = decoded->ops[0];
  const SpanIds ids = ReadSpanIds(SlicesOf(op, *request).span);
  SpanTree tree;
  tree.AddSpan(ids);
  tree.Settle();
  Prices prices;
  if (vector.contains("prices")) prices.Set(PricesOf(vector.at("prices").as_array()));
  out->run = SpanToRun(op, *request, tree.PlaceOf(ids), {.prices = &prices});
  ASSERT_FALSE(out->run.ops.empty());
  OutgoingOp outgoing;
  outgoing.payload = out->run.payload;
  for (const RunOp& made : out->run.ops) {
    outgoing.op = &made;
    json::value object = json::parse(RunObject(outgoing), {}, kDeep);
    if (made.kind == OpKind::kFeedback) {
      out->feedback.push_back(object);
      continue;
    }
    out->object = object;
    for (const Part& part : made.parts) {
      if (part.field != PartField::kAttachment) continue;
      out->attachments.push_back(json::object{{"name", part.name.str()},
                                              {"mime_type", part.mime_type.str()},
                                              {"content", std::string(outgoing.Text(part))}});
    }
  }
}

class OtlpVectorTest : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(OtlpVectorTest, BecomesTheRun) {
  std::ifstream in(GetParam());
  std::stringstream text;
  text << in.rdbuf();
  const json::object vector = json::parse(text.str()).as_object();
  SCOPED_TRACE(std::string(vector.at("about").as_string()));
  Converted converted;
  ASSERT_NO_FATAL_FAILURE(Convert(vector, &converted));
  EXPECT_EQ(Lack(vector.at("run"), converted.object, ""), "") << converted.object;
  if (vector.contains("absent")) {
    for (const json::value& pointer : vector.at("absent").as_array()) {
      EXPECT_FALSE(Has(converted.object, std::string(pointer.as_string()))) << pointer << "\n"
                                                                            << converted.object;
    }
  }
  if (vector.contains("feedback")) {
    EXPECT_EQ(Lack(vector.at("feedback"), converted.feedback, ""), "") << converted.feedback;
  }
  if (vector.contains("attachments")) {
    EXPECT_EQ(Lack(vector.at("attachments"), converted.attachments, ""), "")
        << converted.attachments;
  }
}

INSTANTIATE_TEST_SUITE_P(All, OtlpVectorTest, ::testing::ValuesIn(Vectors()),
                         [](const auto& test) { return test.param.stem().string(); });

// A path is walked down, copied and freed level by level: none may use up the stack.
TEST(OtlpVectorsTest, APathOfManyDotsIsNotNestedDeeply) {
  std::string path;
  for (int i = 0; i < 300'000; ++i) path += "a.";
  json::array attributes;
  for (const char* const prefix : {"llm.input_messages.0.", "gen_ai.completion.0."}) {
    attributes.push_back({{"key", prefix + path + "end"}, {"value", {{"stringValue", "deep"}}}});
  }
  json::object event = {{"name", "gen_ai.user.message"}, {"timeUnixNano", "1790000000000000000"}};
  event["attributes"] = {{{"key", path + "end"}, {"value", {{"stringValue", "deep"}}}}};
  const json::object span = {{"attributes", attributes}, {"events", json::array{event}}};
  Converted converted;
  ASSERT_NO_FATAL_FAILURE(Convert({{"span", span}}, &converted));
  EXPECT_NE(converted.run.payload.find("a.end\":\"deep\""), std::string::npos);
}

// Each once, and the last word of it.
TEST(OtlpVectorsTest, MetadataOfManyKeysIsReadInOnePass) {
  constexpr int kKeys = 300'000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += "\"k" + std::to_string(i) + "\":0,";
  text += R"("k1":1,"k299999":1})";
  const json::object attribute = {{"key", "metadata"}, {"value", {{"stringValue", text}}}};
  Converted converted;
  ASSERT_NO_FATAL_FAILURE(
      Convert({{"span", {{"attributes", json::array{attribute}}}}}, &converted));
  const std::string& run = converted.run.payload;
  EXPECT_NE(run.find("\"k0\":0"), std::string::npos);
  EXPECT_NE(run.find("\"k1\":1,\"k2\":0"), std::string::npos);
  EXPECT_NE(run.find("\"k299998\":0,\"k299999\":1"), std::string::npos);
}

TEST(OtlpVectorsTest, MetadataKeepsTheLastWordOfAKeyInItsFirstPlace) {
  const json::object attribute = {
      {"key", "metadata"},
      {"value", {{"stringValue", R"({"a\"b":1,"c":{"x":[1]},"a\"b":"later","d":2,"c":3})"}}}};
  Converted converted;
  ASSERT_NO_FATAL_FAILURE(
      Convert({{"span", {{"attributes", json::array{attribute}}}}}, &converted));
  EXPECT_NE(converted.run.payload.find(R"({"a\"b":"later","c":3,"d":2,"OTEL_TRACE_ID")"),
            std::string::npos)
      << converted.run.payload;
}

TEST(OtlpVectorsTest, AreThere) { EXPECT_GE(Vectors().size(), 100u); }

}  // namespace
}  // namespace weft::collector
