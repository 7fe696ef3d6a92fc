// SPDX-License-Identifier: Apache-2.0
#include "otlp/trace_request.h"

#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "otlp/json_request.h"
#include "otlp/json_text.h"
#include "otlp/request_bytes.h"
#include "otlp/span_ids.h"
#include "otlp_support.h"

namespace weft::collector {
namespace {

using ::testing::HasSubstr;

// A field of a message, in the wire format.
std::string Delimited(int field, const std::string& content) {
  std::string bytes(1, static_cast<char>(field << 3 | 2));
  std::size_t size = content.size();
  for (; size >= 0x80; size >>= 7) bytes += static_cast<char>(size | 0x80);
  bytes += static_cast<char>(size);
  return bytes + content;
}

TEST(JsonTextTest, EscapesASpecialByteWhereverItStands) {
  const std::pair<char, std::string> specials[] = {{'"', "\\\""},    {'\\', "\\\\"},
                                                   {'\n', "\\n"},    {'\x1f', "\\u001f"},
                                                   {'\x7f', "\x7f"}, {'\xc3', "\xc3"}};
  for (std::size_t size = 1; size < 150; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const auto& [special, escaped] : specials) {
        std::string text(size, 'a');
        text[at] = special;
        EXPECT_EQ(JsonString(text),
                  '"' + std::string(at, 'a') + escaped + std::string(size - at - 1, 'a') + '"');
      }
    }
  }
}

TEST(JsonTextTest, KeysAreEscapedWhateverTheirLength) {
  for (std::size_t size = 0; size < 150; ++size) {
    const std::string plain(size, 'k');
    JsonObjectWriter object;
    object.Add(plain, "1");
    object.AddText(plain + '"', plain);
    const std::string key = '"' + plain;
    EXPECT_EQ(object.Take(), '{' + key + "\":1," + key + "\\\"\":" + key + "\"}");
  }
}

TEST(TraceRequestTest, FindsSpansWhereTheyLie) {
  TraceRequest request;
  AddSpan(request, 1, 0);
  auto* const resource = request.mutable_resource_spans(0)->mutable_resource()->add_attributes();
  resource->set_key("service.name");
  resource->mutable_value()->set_string_value("svc");
  request.add_resource_spans();
  AddSpan(request, 2, 1)
      ->mutable_status()
      ->set_code(opentelemetry::proto::trace::v1::Status::STATUS_CODE_ERROR);
  request.mutable_resource_spans(1)->mutable_scope_spans(0)->mutable_scope()->set_name("lib");
  std::string bytes = request.SerializeAsString();
  const std::string before = bytes;
  auto decoded = DecodeTraceRequest("mine", &bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(bytes, before);
  EXPECT_FALSE(decoded->changed);
  ASSERT_EQ(decoded->ops.size(), 2u);
  const RunOp& root = decoded->ops[0];
  EXPECT_EQ(root.run_id.ToString(), kOtelTraceId);
  EXPECT_EQ(root.trace_id.ToString(), kOtelTraceId);
  EXPECT_TRUE(root.is_root);
  EXPECT_FALSE(root.has_error);
  EXPECT_EQ(root.project, "mine");
  EXPECT_EQ(SlicesOf(root, bytes).span,
            request.resource_spans(0).scope_spans(0).spans(0).SerializeAsString());
  EXPECT_EQ(SlicesOf(root, bytes).resource,
            request.resource_spans(0).resource().SerializeAsString());
  EXPECT_EQ(SlicesOf(root, bytes).scope, "");
  const RunOp& child = decoded->ops[1];
  EXPECT_EQ(child.run_id.ToString(), "00000000-0000-0000-0000-000000000002");
  EXPECT_TRUE(child.has_error);
  EXPECT_FALSE(child.is_root);
  EXPECT_EQ(SlicesOf(child, bytes).resource, "");
  EXPECT_EQ(SlicesOf(child, bytes).scope,
            request.resource_spans(1).scope_spans(0).scope().SerializeAsString());
}

TEST(TraceRequestTest, TheProjectOfASpanWinsOverThatOfTheRequest) {
  TraceRequest request;
  SetText(*AddSpan(request, 1, 0), "langsmith.trace.session_name", "its own");
  AddSpan(request, 2, 1);
  std::string bytes = request.SerializeAsString();
  auto decoded = DecodeTraceRequest("header", &bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->ops[0].project, "its own");
  EXPECT_EQ(decoded->ops[1].project, "header");
}

TEST(TraceRequestTest, TakesInvalidSpansOutAndKeepsTheOthers) {
  TraceRequest request;
  AddSpan(request, 1, 0);
  AddSpan(request, 2, 1)->set_span_id("short");
  AddSpan(request, 3, 1)->set_trace_id(std::string(16, '\0'));
  AddSpan(request, 4, 1)->set_parent_span_id("123456789");
  AddSpan(request, 5, 1)->clear_trace_id();
  AddSpan(request, 6, 1)->set_span_id(std::string(8, '\0'));
  OtelSpan* const many = AddSpan(request, 7, 1);
  for (int i = 0; i < 2001; ++i) SetText(*many, "k" + std::to_string(i), "v");
  request.add_resource_spans();
  AddSpan(request, 8, 1)->set_span_id("");  // the whole resource goes
  request.add_resource_spans();
  AddSpan(request, 9, 1);
  request.mutable_resource_spans(0)->mutable_scope_spans(0)->set_schema_url("https://schema");
  std::string bytes = request.SerializeAsString();
  auto decoded = DecodeTraceRequest("", &bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->changed);
  ASSERT_EQ(decoded->rejected.size(), 7u);
  const char* const reasons[] = {"span_id: not 8 bytes",        "trace_id: all zero",
                                 "parent_span_id: not 8 bytes", "trace_id: not 16 bytes",
                                 "span_id: all zero",           "attributes: more than 2000",
                                 "span_id: not 8 bytes"};
  for (std::size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(decoded->rejected[i].index, i + 1);
    EXPECT_EQ(decoded->rejected[i].reason, reasons[i]);
    EXPECT_FALSE(decoded->rejected[i].bytes.empty());
  }
  ASSERT_EQ(decoded->ops.size(), 2u);
  TraceRequest rest;
  ASSERT_TRUE(rest.ParseFromString(bytes));
  ASSERT_EQ(rest.resource_spans_size(), 2);
  EXPECT_EQ(rest.resource_spans(0).scope_spans(0).schema_url(), "https://schema");
  EXPECT_EQ(rest.resource_spans(0).scope_spans(0).spans(0).name(), "span 1");
  EXPECT_EQ(rest.resource_spans(1).scope_spans(0).spans(0).name(), "span 9");
  EXPECT_EQ(SlicesOf(decoded->ops[1], bytes).span,
            rest.resource_spans(1).scope_spans(0).spans(0).SerializeAsString());
}

TEST(TraceRequestTest, RepairsTextThatIsNotUtf8WhereItIs) {
  TraceRequest request;
  AddSpan(request, 1, 0);
  std::string bytes = request.SerializeAsString();
  const std::size_t at = bytes.find("span 1");
  bytes.replace(at, 6, "\xc3\xa9\xff\xed\xa0\x80");
  auto decoded = DecodeTraceRequest("", &bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->changed);
  TraceRequest repaired;
  ASSERT_TRUE(repaired.ParseFromString(bytes));
  EXPECT_EQ(repaired.resource_spans(0).scope_spans(0).spans(0).name(), "\xc3\xa9????");
}

TEST(TraceRequestTest, RefusesWhatIsNoRequestAtAll) {
  TraceRequest request;
  SetText(*AddSpan(request, 1, 0), "key", "value");
  const std::string whole = request.SerializeAsString();
  for (std::size_t size = 1; size < whole.size(); ++size) {
    std::string cut = whole.substr(0, size);
    EXPECT_FALSE(DecodeTraceRequest("", &cut).ok()) << size;
  }
  for (const std::string bad :
       {"{}", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x0b", "\x07"}) {
    std::string bytes = bad;
    const auto decoded = DecodeTraceRequest("", &bytes);
    EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(TraceRequestTest, AnEmptyRequestHasNoSpans) {
  std::string bytes;
  const auto decoded = DecodeTraceRequest("", &bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->ops.empty());
  EXPECT_TRUE(decoded->rejected.empty());
}

TEST(TraceRequestTest, BoundsWhatASmallBodyCanMake) {
  TraceRequest events;
  AddSpan(events, 1, 0);
  OtelSpan* const span = AddSpan(events, 2, 1);
  for (int i = 0; i < 20'001; ++i) span->add_events();
  std::string bytes = events.SerializeAsString();
  auto decoded = DecodeTraceRequest("", &bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->ops.size(), 1u);
  ASSERT_EQ(decoded->rejected.size(), 1u);
  EXPECT_THAT(decoded->rejected[0].reason, HasSubstr("events and links"));

  TraceRequest resource;
  AddSpan(resource, 1, 0);
  for (int i = 0; i < 2001; ++i) {
    resource.mutable_resource_spans(0)->mutable_resource()->add_attributes();
  }
  bytes = resource.SerializeAsString();
  EXPECT_EQ(DecodeTraceRequest("", &bytes).status().code(), absl::StatusCode::kInvalidArgument);

  const std::string spans = [] {
    std::string all;
    for (int i = 0; i < 100'001; ++i) all += Delimited(2, "");
    return all;
  }();
  bytes = Delimited(1, Delimited(2, spans));
  EXPECT_EQ(DecodeTraceRequest("", &bytes).status().code(), absl::StatusCode::kResourceExhausted);
}

// Each of 100,000 spans has it.
TEST(TraceRequestTest, TheNameOfAProjectIsShort) {
  const std::string most(1024, 'p'), more(1025, 'p');
  TraceRequest request;
  SetText(*AddSpan(request, 1, 0), "langsmith.trace.session_name", most);
  SetText(*AddSpan(request, 2, 1), "langsmith.trace.session_name", more);
  std::string bytes = request.SerializeAsString();
  const auto decoded = DecodeTraceRequest(most, &bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->ops.size(), 1u);
  EXPECT_EQ(decoded->ops[0].project, most);
  ASSERT_EQ(decoded->rejected.size(), 1u);
  EXPECT_THAT(decoded->rejected[0].reason, HasSubstr("session_name"));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeTraceRequest(more, &bytes).status()));
}

TEST(TraceRequestTest, RefusesValuesThatAreNestedTooDeeply) {
  for (const int depth : {30, 31, 1000}) {
    for (const bool is_map : {false, true}) {
      std::string value = Delimited(1, "x");  // AnyValue.string_value
      for (int i = 0; i < depth; ++i) {
        value = is_map ? Delimited(6, Delimited(1, Delimited(1, "key") + Delimited(2, value)))
                       : Delimited(5, Delimited(1, value));
      }
      TraceRequest request;
      const std::string span = AddSpan(request, 1, 0)->SerializeAsString() +
                               Delimited(9, Delimited(1, "key") + Delimited(2, value));
      std::string bytes = Delimited(1, Delimited(2, Delimited(2, span)));
      EXPECT_EQ(DecodeTraceRequest("", &bytes).ok(), depth == 30) << depth << is_map;
    }
  }
}

TEST(TraceRequestTest, ReadsAttributesHoweverTheirFieldsStand) {
  const std::string key = Delimited(1, "langsmith.trace.session_name");
  const std::string text = Delimited(1, "mine"), longest = Delimited(1, std::string(1024, 'p'));
  const std::string other = Delimited(7, "?");
  const std::pair<std::string, std::string> cases[] = {
      {key + Delimited(2, text), "mine"},
      {Delimited(2, text) + key, "mine"},
      {key + Delimited(2, longest), std::string(1024, 'p')},
      {key + Delimited(2, Delimited(1, "first") + text), "mine"},
      {key + Delimited(2, "first") + Delimited(2, text), ""},
      {key + Delimited(2, other + text), "mine"},
      {key + other + Delimited(2, text) + other, "mine"},
      {Delimited(1, "another") + key + Delimited(2, text), "mine"},
      {key + Delimited(2, Delimited(1, "")), "header"},
      {key + Delimited(2, ""), "header"},
      {key, "header"},
      {"", "header"},
      // A length that takes more bytes than it needs.
      {key + "\x12\x87\x80" + std::string("\0\x0a\x84\0mine", 8), "mine"}};
  for (const auto& [pair, project] : cases) {
    TraceRequest request;
    const std::string span = AddSpan(request, 1, 0)->SerializeAsString() + Delimited(9, pair);
    std::string bytes = Delimited(1, Delimited(2, Delimited(2, span)));
    const auto decoded = DecodeTraceRequest("header", &bytes);
    ASSERT_EQ(decoded.ok(), !project.empty());
    if (decoded.ok()) {
      EXPECT_EQ(decoded->ops[0].project, project);
    }
  }
}

TEST(TraceRequestTest, RepairsTextOfAnyLengthWhereverItIsBroken) {
  for (std::size_t size = 1; size < 70; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string broken(size, 'a'), repaired(size, 'a');
      broken[at] = '\xff';
      repaired[at] = '?';
      TraceRequest request;
      const std::string before = AddSpan(request, 1, 0)->SerializeAsString();
      const auto request_with = [&](const std::string& key, const std::string& text) {
        const std::string pair = Delimited(1, key) + Delimited(2, Delimited(1, text));
        return Delimited(1, Delimited(2, Delimited(2, before + Delimited(9, pair))));
      };
      for (const bool in_key : {false, true}) {
        std::string bytes = in_key ? request_with(broken, "text") : request_with("key", broken);
        const auto decoded = DecodeTraceRequest("", &bytes);
        ASSERT_TRUE(decoded.ok() && decoded->changed) << size << ' ' << at;
        EXPECT_EQ(bytes, in_key ? request_with(repaired, "text") : request_with("key", repaired));
      }
    }
  }
}

TEST(TraceRequestJsonTest, ReadsTheFormsThatOtlpAllows) {
  const std::string body = R"({"resourceSpans":[{"resource":{"attributes":[]},"unknown":{"a":[1]},
    "scopeSpans":[{"scope":{"name":"lib"},"spans":[{
      "traceId":"0102030405060708090A0b0c0d0e0f10","spanId":"0000000000000001","name":"\u00e9\ud83d\ude00",
      "kind":"SPAN_KIND_CLIENT","startTimeUnixNano":1790000000000000000,
      "endTimeUnixNano":"1790000000000001000","droppedEventsCount":3,"flags":257,
      "status":{"code":2},"attributes":[
        {"key":"i","value":{"intValue":"-9007199254740993"}},{"key":"j","value":{"intValue":5}},
        {"key":"d","value":{"doubleValue":"NaN"}},{"key":"b","value":{"boolValue":true}},
        {"key":"y","value":{"bytesValue":"AP8="}},{"key":"n","value":null},
        {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{}]}}},
        {"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"intValue":1e3}}]}}}],
      "events":[{"timeUnixNano":"1790000000000000500","name":"e"}],
      "links":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0000000000000002"}]}]}]}]})";
  const auto bytes = TraceRequestFromJson(body);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  TraceRequest request;
  ASSERT_TRUE(request.ParseFromString(*bytes));
  const OtelSpan& span = request.resource_spans(0).scope_spans(0).spans(0);
  EXPECT_EQ(span.trace_id(), kOtelTrace);
  EXPECT_EQ(span.span_id(), SpanIdOf(1));
  EXPECT_EQ(span.name(), "\xc3\xa9\xf0\x9f\x98\x80");
  EXPECT_EQ(span.kind(), OtelSpan::SPAN_KIND_CLIENT);
  EXPECT_EQ(span.start_time_unix_nano(), kStartNs);
  EXPECT_EQ(span.end_time_unix_nano(), kStartNs + 1000);
  EXPECT_EQ(span.dropped_events_count(), 3u);
  ASSERT_EQ(span.attributes_size(), 8);
  EXPECT_EQ(span.attributes(0).value().int_value(), -9007199254740993);
  EXPECT_EQ(span.attributes(1).value().int_value(), 5);
  EXPECT_NE(span.attributes(2).value().double_value(), span.attributes(2).value().double_value());
  EXPECT_TRUE(span.attributes(3).value().bool_value());
  EXPECT_EQ(span.attributes(4).value().bytes_value(), std::string("\0\xff", 2));
  EXPECT_FALSE(span.attributes(5).has_value());
  EXPECT_EQ(span.attributes(6).value().array_value().values_size(), 2);
  EXPECT_EQ(span.attributes(7).value().kvlist_value().values(0).value().int_value(), 1000);
  EXPECT_EQ(span.events(0).time_unix_nano(), kStartNs + 500);
  EXPECT_EQ(span.links(0).span_id(), SpanIdOf(2));
  EXPECT_EQ(request.resource_spans(0).scope_spans(0).scope().name(), "lib");
}

TEST(TraceRequestJsonTest, NamesTheMemberThatIsWrong) {
  const struct {
    const char* body;
    const char* reason;
  } cases[] = {
      {"", "body: "},
      {"[]", "expected an object"},
      {"{\"resourceSpans\":{}}", "resourceSpans: expected an array"},
      {"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":5}]}]}]}",
       "resourceSpans.scopeSpans.spans.name: expected a string"},
      {"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":\"X\"}]}]}]}", "kind"},
      {"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"flags\":-1}]}]}]}", "in range"},
      {"{\"resourceSpans\":[", "body: byte"},
  };
  for (const auto& c : cases) {
    const auto bytes = TraceRequestFromJson(c.body);
    EXPECT_EQ(bytes.status().code(), absl::StatusCode::kInvalidArgument) << c.body;
    EXPECT_THAT(std::string(bytes.status().message()), HasSubstr(c.reason));
  }
  const std::string deep = std::string(100'000, '[');
  EXPECT_FALSE(TraceRequestFromJson("{\"x\":" + deep).ok());
}

TEST(TraceRequestJsonTest, AnIdThatIsNotHexadecimalRejectsOnlyItsSpan) {
  auto bytes = TraceRequestFromJson(
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"xyz","spanId":"0000000000000001"},
        {"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0000000000000001"}]}]}]})");
  ASSERT_TRUE(bytes.ok());
  const auto decoded = DecodeTraceRequest("", &*bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->ops.size(), 1u);
  EXPECT_EQ(decoded->rejected.size(), 1u);
}

}  // namespace
}  // namespace weft::collector
