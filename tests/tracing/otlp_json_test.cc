// SPDX-License-Identifier: Apache-2.0
#include "otlp_json.h"

#include <limits>
#include <string>
#include <utility>

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/internal/otlp_request.h>
#include <weft/tracing/otlp_exporter.h>

#include "export_records.h"
#include "otlp_spans.h"

namespace weft::otlp_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// A run with everything that a span may have.
RunRecord WholeRun() {
  RunRecord record = MakeRecord("whole \"run\"\n\xff");
  record.inputs = {{"q", "h\xC3\xB6her"}};
  record.outputs = JsonObject{{"a", 1}};
  record.error = "std::runtime_error: broken";
  record.metadata = {
      {"count", std::numeric_limits<std::int64_t>::max()},
      {"negative", -7},
      {"score", 0.25},
      {"none", std::numeric_limits<double>::infinity()},
      {"flag", true},
      {"weft_links", JsonArray{JsonObject{{"trace_id", "0102030405060708090a0b0c0d0e0f10"},
                                          {"span_id", "1112131415161718"},
                                          {"attributes", JsonObject{{"kind", "caller"}}}}}},
      {"otel_kind", "CLIENT"}};
  record.tags = {"one", "two"};
  record.events.push_back({"step", record.start, {{"k", 8}, {"list", JsonArray{1, "two"}}}});
  return record;
}

std::string RequestWith(const RunRecord& record) {
  internal::OtlpRequest request({{"service.name", "shop"}});
  request.Add(record, std::size_t{1} << 20);
  request.Add(MakeRecord("other"), std::size_t{1} << 20);
  return request.Take();
}

// Protobuf's own mapping has bytes in base64, OTLP's ids in hex.
void MapIds(Json& value) {
  if (value.is_array()) {
    for (Json& element : value.get_array()) MapIds(element);
  }
  if (!value.is_object()) return;
  for (auto& [key, member] : value.get_object()) {
    if (key == "traceId" || key == "spanId" || key == "parentSpanId") {
      const std::string hex(member.as_string());
      EXPECT_EQ(hex.size(), key == "traceId" ? 32u : 16u);
      member = boost::json::string(absl::Base64Escape(absl::HexStringToBytes(hex)));
    } else {
      MapIds(member);
    }
  }
}

TEST(OtlpJsonTest, SaysTheSameAsProtobuf) {
  RunRecord record = WholeRun();
  record.context = record.context.Child(RunId::New(record.start), record.start, nullptr);
  const std::string wire = RequestWith(record);
  Json json = boost::json::parse(internal::OtlpJson(wire));
  MapIds(json);
  Request expected;
  ASSERT_TRUE(expected.ParseFromString(wire));
  Request said;
  const auto status =
      google::protobuf::util::JsonStringToMessage(boost::json::serialize(json), &said);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(said, expected))
      << said.DebugString() << expected.DebugString();
}

TEST(OtlpJsonTest, WritesNumbersAsOtlpHasThem) {
  const RunRecord record = WholeRun();
  const Json json = boost::json::parse(internal::OtlpJson(RequestWith(record)));
  const Json& span = json.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_EQ(span.at("kind"), Json(3));
  EXPECT_EQ(span.at("status").at("code"), Json(2));
  EXPECT_TRUE(span.at("startTimeUnixNano").is_string());
  EXPECT_EQ(span.at("links").at(0).at("spanId"), Json("1112131415161718"));
  const std::string text = internal::OtlpJson(RequestWith(record));
  EXPECT_THAT(text, HasSubstr(R"({"intValue":"9223372036854775807"})"));
  EXPECT_THAT(text, HasSubstr(R"({"intValue":"-7"})"));
  EXPECT_THAT(text, HasSubstr(R"({"doubleValue":"Infinity"})"));
}

TEST(OtlpJsonTest, SurvivesAnyBytes) {
  const std::string wire = RequestWith(WholeRun());
  for (std::size_t size = 0; size < wire.size(); size += 7) {
    EXPECT_TRUE(boost::json::parse(internal::OtlpJson(wire.substr(0, size))).is_object());
  }
  std::string deep = "x";
  const auto wrap = [](int field, const std::string& bytes) {
    std::string out(1, static_cast<char>(field << 3 | 2));
    std::size_t size = bytes.size();
    for (; size >= 0x80; size >>= 7) out += static_cast<char>(size | 0x80);
    return (out += static_cast<char>(size)) + bytes;
  };
  for (int i = 0; i < 1000; ++i) deep = wrap(5, wrap(1, deep));
  const std::string attributes = wrap(1, wrap(1, wrap(1, wrap(1, "key") + wrap(2, deep))));
  EXPECT_TRUE(boost::json::parse(internal::OtlpJson(attributes)).is_object());
}

TEST(OtlpJsonTest, IsWhatAnExporterSends) {
  const auto http = FakeLangSmith::Start();
  http->SetDefault({.status = 200, .body = "{}", .content_type = "application/json"});
  http->Script({{.status = 503}});
  const auto exporter = OtlpExporter::Create({.protocol = OtlpProtocol::kHttpJson,
                                              .endpoint = http->url() + "/v1/traces",
                                              .flush_interval = milliseconds(5)})
                            .value();
  exporter->Export(WholeRun());
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
  ASSERT_THAT(http->Requests(), SizeIs(2));
  const auto request = http->Requests()[1];
  EXPECT_EQ(request.Header("content-type"), "application/json");
  EXPECT_TRUE(boost::json::parse(request.body).at("resourceSpans").is_array());
}

TEST(OtlpJsonTest, AnswersAreReadAsJson) {
  const auto http = FakeLangSmith::Start();
  http->SetDefault({.status = 200, .body = "{}", .content_type = "application/json"});
  for (const char* const rejected : {"\"1\"", "1"}) {
    http->Script({{.status = 200,
                   .body = std::string(R"({"partialSuccess": {"rejectedSpans": )") + rejected +
                           R"(, "errorMessage": "no room"}})",
                   .content_type = "application/json"}});
    const auto exporter = OtlpExporter::Create({.protocol = OtlpProtocol::kHttpJson,
                                                .endpoint = http->url() + "/v1/traces",
                                                .batch_runs = 2,
                                                .flush_interval = std::chrono::hours(1)})
                              .value();
    exporter->Export(MakeRecord("one"));
    exporter->Export(MakeRecord("two"));
    EXPECT_TRUE(exporter->Flush(seconds(20)));
    EXPECT_EQ(exporter->Stats().acknowledged, 1u);
    EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
  }
}

}  // namespace
}  // namespace weft::otlp_test
