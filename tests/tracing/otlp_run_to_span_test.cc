// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/run_to_span.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/tracing/internal/otlp_request.h>
#include <weft/tracing/trace_headers.h>

#include "otlp_spans.h"

namespace weft::otlp_test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using Micros = std::chrono::microseconds;

constexpr auto kStart = std::chrono::system_clock::time_point(Micros(1'767'323'045'000'123));
constexpr std::uint64_t kStartNano = 1'767'323'045'000'123'000;

RunId Id(const char* text) { return RunId::Parse(text).value(); }
const RunId kTrace = Id("019b7ca9-8c88-7000-8000-000000000001");
const RunId kStep = Id("019b7ca9-8c88-7001-8000-000000000002");

RunContext Root(TraceBaggage baggage = {}) {
  return RunContext::Root(kTrace, kStart, std::make_shared<TraceBaggage>(std::move(baggage)));
}

RunRecord Record(RunContext context = Root(), RunType type = RunType::kChain) {
  RunRecord record;
  record.context = std::move(context);
  record.name = "plan";
  record.type = type;
  record.start = kStart;
  record.end = kStart + Micros(1500);
  return record;
}

Span SpanOf(const RunRecord& record) {
  std::string bytes;
  internal::AppendSpan(bytes, internal::SpanSourceOf(record));
  Span span;
  EXPECT_TRUE(span.ParseFromString(bytes));
  return span;
}

Attributes AttributesOf(const RunRecord& record) { return otlp_test::AttributesOf(SpanOf(record)); }

std::string Bytes(std::initializer_list<int> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(RunToSpanTest, GivesARootItsIdsNameKindAndTimes) {
  const Span span = SpanOf(Record());
  EXPECT_EQ(span.trace_id(), std::string(kTrace.bytes.begin(), kTrace.bytes.end()));
  EXPECT_EQ(span.span_id(), Bytes({0x80, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_THAT(span.parent_span_id(), IsEmpty());
  EXPECT_EQ(span.name(), "plan");
  EXPECT_EQ(span.kind(), Span::SPAN_KIND_INTERNAL);
  EXPECT_EQ(span.start_time_unix_nano(), kStartNano);
  EXPECT_EQ(span.end_time_unix_nano(), kStartNano + 1'500'000);
  EXPECT_EQ(span.flags(), 1u);
  EXPECT_EQ(span.status().code(), otlp::trace::v1::Status::STATUS_CODE_OK);
  EXPECT_THAT(span.events(), IsEmpty());
  EXPECT_THAT(otlp_test::AttributesOf(span),
              AllOf(Contains(Pair("langsmith.span.id", "\"" + kTrace.ToString() + "\"")),
                    Contains(Pair("langsmith.trace.id", "\"" + kTrace.ToString() + "\"")),
                    Contains(Pair("langsmith.span.dotted_order",
                                  "\"20260102T030405000123Z" + kTrace.ToString() + "\"")),
                    Contains(Pair("langsmith.is_root", "true")),
                    Contains(Pair("langsmith.trace.name", "\"plan\"")),
                    Contains(Pair("langsmith.span.kind", "\"chain\"")),
                    Contains(Pair("langsmith.trace.session_name", "\"default\"")),
                    Not(Contains(Key("langsmith.span.parent_id")))));
}

TEST(RunToSpanTest, NamesTheParentOfAChildBothWays) {
  const Span span = SpanOf(Record(Root().Child(kStep, kStart)));
  EXPECT_EQ(span.span_id(), Bytes({0x80, 0, 0, 0, 0, 0, 0, 2}));
  EXPECT_EQ(span.parent_span_id(), Bytes({0x80, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_THAT(otlp_test::AttributesOf(span),
              AllOf(Contains(Pair("langsmith.span.parent_id", "\"" + kTrace.ToString() + "\"")),
                    Not(Contains(Key("langsmith.is_root")))));
}

TEST(RunToSpanTest, HasTheSpanIdOfTraceparent) {
  const RunContext step = Root().Child(kStep, kStart);
  const std::string span_id = SpanOf(Record(step)).span_id();
  std::string hex;
  for (const unsigned char byte : span_id) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  EXPECT_EQ(TraceHeaders::Of(step).traceparent.substr(36, 16), hex);
}

TEST(RunToSpanTest, GivesASpanOfOpenTelemetryBackItsOwnIds) {
  const ParsedHeaders caller =
      TraceHeaders{.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                   .tracestate = "vendor=x"}
          .Parse();
  const Span span = SpanOf(Record(caller.parent.Child(kStep, kStart)));
  EXPECT_EQ(span.trace_id(), Bytes({0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48,
                                    0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c}));
  EXPECT_EQ(span.parent_span_id(), Bytes({0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}));
  EXPECT_EQ(span.trace_state(), "vendor=x");
}

TEST(RunToSpanTest, NeverHasASpanIdOfZeros) {
  const RunId id = Id("019b7ca9-8c88-7000-0000-000000000000");
  const auto first = internal::SpanIdOf(id);
  EXPECT_NE(first, (std::array<std::uint8_t, 8>{}));
  EXPECT_EQ(first, internal::SpanIdOf(id));
  EXPECT_NE(first, internal::SpanIdOf(Id("019b7ca9-8c88-7001-0000-000000000000")));
}

TEST(RunToSpanTest, TakesTheKindOfCallsFromTheirMetadata) {
  RunRecord record = Record();
  record.metadata = {{"otel_kind", "SERVER"}};
  EXPECT_EQ(SpanOf(record).kind(), Span::SPAN_KIND_SERVER);
  record.metadata = {{"otel_kind", "CLIENT"}};
  EXPECT_EQ(SpanOf(record).kind(), Span::SPAN_KIND_CLIENT);
  record.metadata = {{"otel_kind", "CONSUMER"}};
  EXPECT_EQ(SpanOf(record).kind(), Span::SPAN_KIND_CONSUMER);
  EXPECT_EQ(SpanOf(Record(Root(), RunType::kLlm)).kind(), Span::SPAN_KIND_CLIENT);
  EXPECT_EQ(SpanOf(Record(Root(), RunType::kTool)).kind(), Span::SPAN_KIND_INTERNAL);
}

TEST(RunToSpanTest, MakesAnErrorAStatusAndAnException) {
  RunRecord record = Record();
  record.error = "std::runtime_error: no luck\n\nStacktrace:\nmain.cc:7";
  const Span span = SpanOf(record);
  EXPECT_EQ(span.status().code(), otlp::trace::v1::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(span.status().message(), "std::runtime_error: no luck");
  ASSERT_THAT(span.events(), SizeIs(1));
  EXPECT_EQ(span.events(0).name(), "exception");
  EXPECT_EQ(span.events(0).time_unix_nano(), span.end_time_unix_nano());
  EXPECT_EQ(otlp_test::AttributesOf(span.events(0)),
            (Attributes{{"exception.type", "\"std::runtime_error\""},
                        {"exception.message", "\"std::runtime_error: no luck\""},
                        {"exception.stacktrace", "\"main.cc:7\""}}));
}

TEST(RunToSpanTest, InventsNoTypeOfAnError) {
  RunRecord record = Record();
  record.error = "the door is shut: try the window";
  EXPECT_EQ(otlp_test::AttributesOf(SpanOf(record).events(0)),
            (Attributes{{"exception.message", "\"the door is shut: try the window\""}}));
}

TEST(RunToSpanTest, SaysThatAnOpenRunIsUnfinished) {
  RunRecord record = Record();
  record.end.reset();
  const Span span = SpanOf(record);
  EXPECT_EQ(span.status().code(), otlp::trace::v1::Status::STATUS_CODE_UNSET);
  EXPECT_EQ(span.end_time_unix_nano(), span.start_time_unix_nano());
  EXPECT_THAT(otlp_test::AttributesOf(span), Contains(Pair("weft.unfinished", "true")));
}

TEST(RunToSpanTest, NeverEndsBeforeItStarts) {
  RunRecord record = Record();
  record.end = kStart - Micros(1);
  EXPECT_EQ(SpanOf(record).end_time_unix_nano(), kStartNano);
  record.start = std::chrono::system_clock::time_point(Micros(-5));
  record.end = record.start;
  EXPECT_EQ(SpanOf(record).start_time_unix_nano(), 0u);
}

TEST(RunToSpanTest, NamesTheOperation) {
  const std::pair<RunType, std::string> kCases[] = {{RunType::kLlm, "chat"},
                                                    {RunType::kTool, "execute_tool"},
                                                    {RunType::kRetriever, "embeddings"},
                                                    {RunType::kEmbedding, "embeddings"},
                                                    {RunType::kPrompt, "chat"},
                                                    {RunType::kChain, "chain"},
                                                    {RunType::kParser, "parser"}};
  for (const auto& [type, operation] : kCases) {
    const Attributes attributes = AttributesOf(Record(Root(), type));
    EXPECT_EQ(attributes.at("gen_ai.operation.name"), '"' + operation + '"');
    EXPECT_EQ(attributes.at("langsmith.span.kind"), '"' + std::string(RunTypeName(type)) + '"');
  }
}

TEST(RunToSpanTest, GuessesTheSystemFromTheModel) {
  const std::pair<const char*, const char*> kCases[] = {{"claude-5", "anthropic"},
                                                        {"eu.anthropic.x", "anthropic"},
                                                        {"bedrock/titan", "aws.bedrock"},
                                                        {"Azure-OpenAI-4", "az.ai.openai"},
                                                        {"azure/inference", "az.ai.inference"},
                                                        {"cohere-r", "cohere"},
                                                        {"deepseek-v4", "deepseek"},
                                                        {"gemini-3", "gemini"},
                                                        {"groq/llama", "groq"},
                                                        {"ibm/granite", "ibm.watsonx.ai"},
                                                        {"mistral-large", "mistral_ai"},
                                                        {"gpt-6", "openai"},
                                                        {"sonar-pro", "perplexity"},
                                                        {"vertex/x", "vertex_ai"},
                                                        {"grok-4", "xai"},
                                                        {"qwen3", "qwen"},
                                                        {"llama", "langchain"}};
  for (const auto& [model, system] : kCases) {
    RunRecord record = Record();
    record.metadata = {{"ls_model_name", model}};
    const Attributes attributes = AttributesOf(record);
    EXPECT_EQ(attributes.at("gen_ai.system"), '"' + std::string(system) + '"') << model;
    EXPECT_EQ(attributes.at("gen_ai.request.model"), '"' + std::string(model) + '"');
  }
  RunRecord record = Record();
  record.metadata = {{"ls_model_name", "gpt-6"}, {"ls_provider", "mine"}};
  EXPECT_EQ(AttributesOf(record).at("gen_ai.system"), "\"mine\"");
}

TEST(RunToSpanTest, FindsTheModelWhereverItIsNamed) {
  const auto model = [](JsonObject metadata, JsonObject inputs) {
    RunRecord record = Record();
    record.metadata = std::move(metadata);
    record.inputs = std::move(inputs);
    const Attributes attributes = AttributesOf(record);
    const auto found = attributes.find("gen_ai.request.model");
    return found != attributes.end() ? found->second : "";
  };
  EXPECT_EQ(model({{"invocation_params", {{"model", "a"}, {"model_name", "b"}}}}, {}), "\"a\"");
  EXPECT_EQ(model({{"invocation_params", {{"model_name", "b"}}}}, {}), "\"b\"");
  EXPECT_EQ(model({{"ls_model_name", "c"}, {"invocation_params", {{"model", "a"}}}}, {}), "\"c\"");
  EXPECT_EQ(model({}, {{"model", "d"}, {"messages", JsonArray{}}}), "\"d\"");
  EXPECT_EQ(model({}, {{"model", "d"}}), "");
}

TEST(RunToSpanTest, SaysWhatWasAskedOfAModelAndWhatItAnswered) {
  RunRecord record = Record(Root(), RunType::kLlm);
  record.metadata = {{"invocation_params",
                      {{"max_tokens", 100},
                       {"temperature", 0.5},
                       {"top_p", 1},
                       {"frequency_penalty", 0.25},
                       {"presence_penalty", 0.75}}}};
  record.inputs = {{"stream", true},
                   {"extra_query", {{"q", 1}}},
                   {"extra_body", {{"b", 2}}},
                   {"extra_headers", {{"authorization", "Bearer canary"}}}};
  record.outputs = JsonObject{
      {"model", "gpt-6-x"},
      {"id", "r-1"},
      {"service_tier", "fast"},
      {"system_fingerprint", "fp"},
      {"choices", JsonArray{{{"finish_reason", "stop"}}, {{"finish_reason", "length"}}, 7}}};
  const Attributes attributes = AttributesOf(record);
  const Attributes wanted = {
      {"gen_ai.request.max_tokens", "100"},
      {"gen_ai.request.temperature", "0.5"},
      {"gen_ai.request.top_p", "1"},
      {"gen_ai.request.frequency_penalty", "0.25"},
      {"gen_ai.request.presence_penalty", "0.75"},
      {"langsmith.request.streaming", "true"},
      {"gen_ai.request.extra_query", "\"{\"q\":1}\""},
      {"gen_ai.request.extra_body", "\"{\"b\":2}\""},
      {"langsmith.request.headers", "\"{\"authorization\":\"[redacted]\"}\""},
      {"gen_ai.response.model", "\"gpt-6-x\""},
      {"gen_ai.response.id", "\"r-1\""},
      {"gen_ai.response.service_tier", "\"fast\""},
      {"gen_ai.response.system_fingerprint", "\"fp\""},
      {"gen_ai.response.finish_reasons", "[\"stop\",\"length\"]"}};
  for (const auto& member : wanted) EXPECT_THAT(attributes, Contains(member));
}

TEST(RunToSpanTest, FindsTheUsageWhereverItIs) {
  const JsonObject usage = {{"input_tokens", 3},
                            {"output_tokens", 4},
                            {"total_tokens", 7},
                            {"input_token_details", {{"cache_read", 1}}}};
  const JsonObject message = {{"lc", 1}, {"kwargs", {{"usage_metadata", usage}}}};
  const JsonObject outputs[] = {{{"usage_metadata", usage}},
                                {{"output", {{"usage_metadata", usage}}}},
                                {{"output", message}},
                                {{"generations", JsonArray{JsonArray{{{"message", message}}}}}},
                                {{"generations", JsonArray{{{"message", message}}}}}};
  for (const JsonObject& one : outputs) {
    RunRecord record = Record(Root(), RunType::kLlm);
    record.outputs = one;
    const Attributes attributes = AttributesOf(record);
    EXPECT_THAT(attributes,
                AllOf(Contains(Pair("gen_ai.usage.input_tokens", "3")),
                      Contains(Pair("gen_ai.usage.output_tokens", "4")),
                      Contains(Pair("gen_ai.usage.total_tokens", "7")),
                      Contains(Pair("gen_ai.usage.input_token_details", "\"{\"cache_read\":1}\"")),
                      Contains(Pair("langsmith.usage_metadata",
                                    HasSubstr("\"input_tokens\":3,\"output_tokens\":4")))))
        << one;
  }
  // As Run::AddUsage leaves it.
  RunRecord record = Record(Root(), RunType::kLlm);
  record.metadata = {{"usage_metadata", usage}};
  EXPECT_THAT(AttributesOf(record), AllOf(Contains(Pair("gen_ai.usage.total_tokens", "7")),
                                          Not(Contains(Key("langsmith.metadata.usage_metadata")))));
}

TEST(RunToSpanTest, CarriesInputsOutputsMetadataAndTags) {
  RunRecord record = Record(Root({.project = "checkout", .tags = {"far"}}));
  record.inputs = {{"question", "why"}};
  record.outputs = JsonObject{{"answer", 42}};
  record.tags = {"near"};
  record.metadata = {{"user_id", "u-1"},
                     {"n", 7},
                     {"x", 0.5},
                     {"yes", true},
                     {"no", nullptr},
                     {"list", JsonArray{1, 2}},
                     {"rpc.system", "grpc"},
                     {"big", std::numeric_limits<std::uint64_t>::max()}};
  const Attributes attributes = AttributesOf(record);
  const Attributes wanted = {{"gen_ai.prompt", "\"{\"question\":\"why\"}\""},
                             {"gen_ai.completion", "\"{\"answer\":42}\""},
                             {"langsmith.trace.session_name", "\"checkout\""},
                             {"langsmith.span.tags", "\"far, near\""},
                             {"langsmith.metadata.user_id", "\"u-1\""},
                             {"langsmith.metadata.n", "7"},
                             {"langsmith.metadata.x", "0.5"},
                             {"langsmith.metadata.yes", "true"},
                             {"langsmith.metadata.list", "\"[1,2]\""},
                             {"langsmith.metadata.big", "\"18446744073709551615\""},
                             {"langsmith.metadata.rpc.system", "\"grpc\""},
                             {"rpc.system", "\"grpc\""}};
  for (const auto& member : wanted) EXPECT_THAT(attributes, Contains(member));
  EXPECT_THAT(attributes, Not(Contains(Key("langsmith.metadata.no"))));
}

TEST(RunToSpanTest, MapsWhatOnlySomeRunsHave) {
  const JsonObject serialized = {{"name", "Chat"}, {"signature", "(q)"}, {"doc", "asks"}};
  internal::SpanSource run;
  run.id = run.trace_id = kTrace;
  run.start = kStart;
  run.serialized = &serialized;
  run.session_id = "s-1";
  run.reference_example_id = "e-1";
  std::string bytes;
  internal::AppendSpan(bytes, run);
  Span span;
  ASSERT_TRUE(span.ParseFromString(bytes));
  const Attributes attributes = otlp_test::AttributesOf(span);
  const Attributes wanted = {{"gen_ai.serialized.name", "\"Chat\""},
                             {"gen_ai.serialized.signature", "\"(q)\""},
                             {"gen_ai.serialized.doc", "\"asks\""},
                             {"langsmith.trace.session_id", "\"s-1\""},
                             {"langsmith.reference_example_id", "\"e-1\""}};
  for (const auto& member : wanted) EXPECT_THAT(attributes, Contains(member));
}

TEST(RunToSpanTest, KeepsEventsAttachmentsAndLinks) {
  RunRecord record = Record();
  record.events.push_back({"new_token", kStart + Micros(7), {{"token", "a"}, {"n", 1}}});
  record.attachments.push_back({"pic", "image/png", std::string("\0\1\2", 3)});
  record.metadata = {{"weft_links", JsonArray{{{"trace_id", "0af7651916cd43dd8448eb211c80319c"},
                                               {"span_id", "b7ad6b7169203331"},
                                               {"run_id", "r"},
                                               {"attributes", {{"why", "retry"}}}},
                                              {{"trace_id", "short"}}}},
                     {"otel_attributes", {{"shop.cart", 3}}}};
  const Span span = SpanOf(record);
  ASSERT_THAT(span.events(), SizeIs(1));
  EXPECT_EQ(span.events(0).name(), "new_token");
  EXPECT_EQ(span.events(0).time_unix_nano(), kStartNano + 7'000);
  EXPECT_EQ(otlp_test::AttributesOf(span.events(0)), (Attributes{{"token", "\"a\""}, {"n", "1"}}));
  ASSERT_THAT(span.links(), SizeIs(1));
  EXPECT_EQ(span.links(0).span_id(), Bytes({0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31}));
  EXPECT_EQ(otlp_test::AttributesOf(span.links(0)),
            (Attributes{{"langsmith.span.id", "\"r\""}, {"why", "\"retry\""}}));
  EXPECT_THAT(
      otlp_test::AttributesOf(span),
      AllOf(Contains(Pair("langsmith.attachments",
                          "\"[{\"name\":\"pic\",\"content\":\"AAEC\","
                          "\"mime_type\":\"image/png\"}]\"")),
            Contains(Pair("shop.cart", "3")), Not(Contains(Key("langsmith.metadata.weft_links")))));
}

TEST(RunToSpanTest, ARunThatWasASpanHasItsStatusTimesAndErrorAgain) {
  RunRecord record = Record();
  record.error = "boom";
  record.events.push_back({"exception", kStart + Micros(7), {{"exception.message", "boom"}}});
  record.metadata = {{"OTEL_SPAN_ID", "0102030405060708"},
                     {"otel_time_ns", JsonArray{234, 5, 99}},
                     {"otel_attributes", {{"list", JsonArray{1, {{"k", nullptr}}, "t"}}}}};
  Span span = SpanOf(record);
  EXPECT_EQ(span.start_time_unix_nano(), kStartNano + 234);
  EXPECT_EQ(span.end_time_unix_nano(), kStartNano + 1'500'000 + 5);
  ASSERT_THAT(span.events(), SizeIs(1)) << "none is made up";
  EXPECT_EQ(span.events(0).time_unix_nano(), kStartNano + 7'000 + 99);
  EXPECT_FALSE(span.has_status());
  const Attributes attributes = otlp_test::AttributesOf(span);
  EXPECT_THAT(attributes, Not(Contains(Key("langsmith.metadata.otel_status_code"))));
  EXPECT_THAT(attributes, Not(Contains(Key("langsmith.metadata.otel_time_ns"))));
  const auto list = std::find_if(span.attributes().begin(), span.attributes().end(),
                                 [](const auto& each) { return each.key() == "list"; });
  ASSERT_NE(list, span.attributes().end());
  ASSERT_THAT(list->value().array_value().values(), SizeIs(3));
  EXPECT_EQ(list->value().array_value().values(1).kvlist_value().values(0).key(), "k");

  record.metadata["otel_status_code"] = "ERROR";
  record.metadata["otel_status_description"] = "gone";
  span = SpanOf(record);
  EXPECT_EQ(span.status().code(), 2);
  EXPECT_EQ(span.status().message(), "gone");
  EXPECT_THAT(span.events(), SizeIs(1));
}

TEST(RunToSpanTest, AnErrorThatCameLaterIsNotHiddenByWhatTheSpanWas) {
  RunRecord record = Record();
  record.error = "boom";
  record.metadata = {{"OTEL_SPAN_ID", "0102030405060708"},
                     {"otel_status_code", "OK"},
                     {"otel_time_ns", JsonArray{-5, 5'000, "x"}}};
  const Span span = SpanOf(record);
  EXPECT_EQ(span.status().code(), 2);
  EXPECT_EQ(span.status().message(), "boom");
  ASSERT_THAT(span.events(), SizeIs(1));
  EXPECT_EQ(span.events(0).name(), "exception");
  EXPECT_EQ(span.start_time_unix_nano(), kStartNano);
  EXPECT_EQ(span.end_time_unix_nano(), kStartNano + 1'500'000 + 999);
}

TEST(RunToSpanTest, IsValidWhateverBytesTheRunHas) {
  const std::string bad = "a\xff\xc3";
  RunRecord record = Record();
  record.name = bad;
  record.error = bad;
  record.tags = {bad};
  record.metadata[bad] = bad;
  record.inputs[bad] = bad;
  record.events.push_back({bad, kStart, {{bad, bad}}});
  // The parser refuses strings that are no UTF-8.
  const Span span = SpanOf(record);
  EXPECT_EQ(span.name(), "a\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_THAT(otlp_test::AttributesOf(span),
              Contains(Key("langsmith.metadata.a\xEF\xBF\xBD\xEF\xBF\xBD")));
}

TEST(RunToSpanTest, CutsWhatIsTooLong) {
  RunRecord record = Record();
  record.inputs = {{"text", std::string(100'000, 'x')}};
  record.error = std::string(50'000, 'e');
  record.metadata = {{"small", "kept"}};
  std::string bytes = "before";
  internal::AppendSpanUpTo(bytes, internal::SpanSourceOf(record), 20'000);
  EXPECT_LE(bytes.size(), 20'006u);
  Span span;
  ASSERT_TRUE(span.ParseFromString(bytes.substr(6)));
  const Attributes attributes = otlp_test::AttributesOf(span);
  EXPECT_THAT(attributes.at("gen_ai.prompt"),
              HasSubstr("{\"weft_truncated\":{\"bytes\":100011,\"start\":\"{\\\"text\\\":"));
  EXPECT_THAT(attributes, Contains(Pair("langsmith.metadata.small", "\"kept\"")));
  EXPECT_EQ(span.status().message(), std::string(5'000, 'e'));
}

Request Built(internal::OtlpRequest& builder) {
  Request request;
  EXPECT_TRUE(request.ParseFromString(builder.Take()));
  return request;
}

TEST(OtlpRequestTest, PutsTheRunsOfAServiceUnderOneResource) {
  internal::OtlpRequest builder({{"host.name", "h"}, {"service.version", "1"}});
  RunRecord named = Record();
  named.metadata = {{"service.name", "writer"}};
  builder.Add(named, 1 << 20);
  builder.Add(Record(Root({.project = "p"})), 1 << 20);
  builder.Add(named, 1 << 20);
  EXPECT_EQ(builder.runs(), 3u);
  const Request request = Built(builder);
  ASSERT_EQ(request.resource_spans_size(), 2);
  const auto& first = request.resource_spans(0);
  EXPECT_THAT(
      otlp_test::AttributesOf(first.resource()),
      AllOf(Contains(Pair("service.name", "\"writer\"")), Contains(Pair("host.name", "\"h\"")),
            Contains(Pair("telemetry.sdk.name", "\"weft\""))));
  ASSERT_EQ(first.scope_spans_size(), 1);
  EXPECT_EQ(first.scope_spans(0).scope().name(), "weft");
  EXPECT_EQ(first.scope_spans(0).spans_size(), 2);
  EXPECT_THAT(otlp_test::AttributesOf(request.resource_spans(1).resource()),
              Contains(Pair("service.name", "\"p\"")));
  EXPECT_EQ(builder.runs(), 0u);
  EXPECT_EQ(Built(builder).resource_spans_size(), 0);
}

TEST(OtlpRequestTest, LetsTheResourceNameTheService) {
  internal::OtlpRequest builder({{"service.name", "given"}});
  builder.Add(Record(), 1 << 20);
  EXPECT_THAT(otlp_test::AttributesOf(Built(builder).resource_spans(0).resource()),
              Contains(Pair("service.name", "\"given\"")));
}

}  // namespace
}  // namespace weft::otlp_test
