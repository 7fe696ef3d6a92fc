// SPDX-License-Identifier: Apache-2.0
// Runs that become spans and runs again, and spans that become runs and spans again.
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>
#include <boost/json.hpp>

#include <weft/tracing/internal/otlp_request.h>

#include "destinations/run_json.h"
#include "destinations/run_span.h"
#include "destinations/span_places.h"
#include "otlp/span_to_run.h"
#include "otlp/span_tree.h"
#include "otlp/trace_request.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using boost::json::object;
using boost::json::value;

OutgoingOp Outgoing(const RunOp& op, std::string_view payload) {
  OutgoingOp out;
  out.op = &op;
  out.payload = payload;
  return out;
}

// A request with the run as its span.
std::string RequestOf(const OutgoingOp& op) {
  const absl::StatusOr<RunSpan> run = RunSpan::Parse(op);
  EXPECT_TRUE(run.ok());
  internal::OtlpRequest request(JsonObject{});
  request.Add(run->Source(), std::size_t{1} << 20);
  return request.Take();
}

// The run of the only span of a request.
SpanRun RunOf(std::string request) {
  const absl::StatusOr<DecodedSpans> decoded = DecodeTraceRequest("", &request);
  EXPECT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->ops.size(), 1u);
  const SpanIds ids = ReadSpanIds(SlicesOf(decoded->ops.at(0), request).span);
  SpanPlaces places;
  RunPlace place = places.Settle(ids, 0).value_or(RunPlace{});
  return SpanToRun(decoded->ops.at(0), request, place);
}

class RandomRun {
 public:
  explicit RandomRun(unsigned seed) : random_(seed) {}

  object Make() {
    const std::string trace = IdOf(random_()).ToString();
    const std::string id = Half() ? trace : IdOf(random_()).ToString();
    const std::string order = "20260102T030405000123Z" + trace;
    object run = {{"id", id},
                  {"trace_id", trace},
                  {"name", Text()},
                  {"start_time", "2026-01-02T03:04:05.000123Z"},
                  {"end_time", "2026-01-02T03:04:06.654321Z"},
                  {"session_name", Text()}};
    constexpr const char* kTypes[] = {"llm", "chain", "tool", "retriever", "embedding", "prompt"};
    run["run_type"] = kTypes[random_() % std::size(kTypes)];
    run["dotted_order"] = id == trace ? order : order + ".20260102T030405000123Z" + id;
    if (id != trace) run["parent_run_id"] = trace;
    run["inputs"] = object{{Text(), Value(3)}, {"messages", Value(2)}};
    if (Half()) run["outputs"] = object{{Text(), Value(3)}};
    if (Half()) run["error"] = "ValueError: " + Text() + "\n\nStacktrace:\nline 1\nline 2";
    if (Half()) run["tags"] = {"one", "two"};
    object metadata = {{"thread", Text()}, {"n", random_() % 1000}, {"yes", Half()}};
    if (Half()) {
      metadata["usage_metadata"] = object{{"input_tokens", 12},
                                          {"output_tokens", 3},
                                          {"total_tokens", 15},
                                          {"input_token_details", object{{"cache_read", 5}}}};
    }
    run["extra"] = object{{"metadata", metadata}};
    return run;
  }

 private:
  bool Half() { return random_() % 2 == 0; }

  std::string Text() {
    constexpr const char* kTexts[] = {"a",
                                      "two words",
                                      "Gr\xc3\xbc\xc3\x9f"
                                      "e",
                                      "\"quoted\"\n",
                                      "{\"j\":1}",
                                      "\\u0000",
                                      "\xf0\x9f\x8e\x89"};
    return kTexts[random_() % std::size(kTexts)] + std::to_string(random_() % 100);
  }

  value Value(int depth) {
    switch (random_() % (depth > 0 ? 7 : 5)) {
      case 0:
        return value(Text());
      case 1:
        return value(static_cast<std::int64_t>(random_()) - 1'000'000);
      case 2:
        return value(Half());
      case 3:
        return value(nullptr);
      case 4:
        return value(0.25 * static_cast<double>(random_() % 1000));
      case 5:
        return boost::json::array{Value(depth - 1), Value(depth - 1)};
      default:
        return object{{Text(), Value(depth - 1)}};
    }
  }

  std::mt19937 random_;
};

TEST(RoundTripTest, ARunIsTheSameAfterItWasASpan) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const object before = RandomRun(seed).Make();
    const std::string text = boost::json::serialize(before);
    RunOp op;
    op.run_id = RunId::Parse(before.at("id").as_string().c_str()).value();
    op.trace_id = RunId::Parse(before.at("trace_id").as_string().c_str()).value();
    op.parts.push_back({PartField::kRun, 0, text.size()});
    const SpanRun run = RunOf(RequestOf(Outgoing(op, text)));
    const object after =
        boost::json::parse(RunObject(Outgoing(run.ops.at(0), run.payload))).as_object();
    for (const char* const key :
         {"id", "trace_id", "parent_run_id", "dotted_order", "name", "run_type", "start_time",
          "end_time", "inputs", "outputs", "error", "tags", "session_name"}) {
      const value* const was = before.if_contains(key);
      const value* const is = after.if_contains(key);
      ASSERT_EQ(was == nullptr, is == nullptr) << key << " of " << text << "\n" << after;
      if (was == nullptr) continue;
      EXPECT_EQ(*was, *is) << key << " of " << text;
    }
    const object& metadata = after.at("extra").at("metadata").as_object();
    for (const auto& [key, was] : before.at("extra").at("metadata").as_object()) {
      // Where there are outputs, usage belongs there.
      const value* is = metadata.if_contains(key);
      if (is == nullptr && after.contains("outputs")) {
        is = after.at("outputs").as_object().if_contains(key);
      }
      ASSERT_NE(is, nullptr) << key << " of " << text << "\n" << after;
      EXPECT_EQ(was, *is) << key << " of " << text;
    }
  }
}

namespace otlp = opentelemetry::proto;
using TraceRequest = otlp::collector::trace::v1::ExportTraceServiceRequest;
using google::protobuf::util::MessageDifferencer;

// A trace of three spans, one below the other.
class RandomSpans {
 public:
  explicit RandomSpans(unsigned seed) : random_(seed) {}

  TraceRequest Make() {
    TraceRequest request;
    auto& spans = *request.add_resource_spans()->add_scope_spans()->mutable_spans();
    const std::string trace = Bytes(16);
    std::string parent;
    for (int i = 0; i < 3; ++i) {
      otlp::trace::v1::Span& span = *spans.Add();
      span.set_trace_id(trace);
      span.set_span_id(Bytes(8));
      span.set_parent_span_id(parent);
      parent = span.span_id();
      Fill(span);
    }
    return request;
  }

 private:
  void Fill(otlp::trace::v1::Span& span) {
    constexpr std::uint64_t kBegin = 1'790'000'000'000'000'000;
    span.set_name(Text());
    span.set_kind(static_cast<otlp::trace::v1::Span::SpanKind>(1 + random_() % 5));
    if (Half()) span.set_trace_state("vendor=" + std::to_string(random_() % 100));
    span.set_start_time_unix_nano(kBegin + random_() % 1'000'000'000);
    span.set_end_time_unix_nano(span.start_time_unix_nano() + random_() % 1'000'000'000);
    if (Half()) {
      auto& status = *span.mutable_status();
      status.set_code(Half() ? otlp::trace::v1::Status::STATUS_CODE_OK
                             : otlp::trace::v1::Status::STATUS_CODE_ERROR);
      if (status.code() == otlp::trace::v1::Status::STATUS_CODE_ERROR && Half()) {
        status.set_message(Text());
      }
    }
    FillAttributes(span);
    for (int i = 0; i < 2; ++i) {
      if (Half()) FillEvent(span.start_time_unix_nano(), *span.add_events());
    }
    if (Half()) {
      auto& link = *span.add_links();
      link.set_trace_id(Bytes(16));
      link.set_span_id(Bytes(8));
      SetValue(Add(*link.mutable_attributes(), "why"), 2);
    }
  }

  void FillAttributes(otlp::trace::v1::Span& span) {
    auto& attributes = *span.mutable_attributes();
    SetValue(Add(attributes, "app.one"), 2);
    SetValue(Add(attributes, "app.two"), 2);
    SetValue(Add(attributes, "rpc.grpc.request.metadata.x"), 1);
    Add(attributes, "langsmith.metadata.thread").set_string_value(Text());
    Add(attributes, "gen_ai.prompt").set_string_value(R"({"q":"why"})");
    // Not both: a run has its usage in its outputs.
    if (Half()) {
      Add(attributes, "gen_ai.completion").set_string_value(R"({"a":1})");
    } else {
      Add(attributes, "gen_ai.request.model").set_string_value("gpt-4o");
      Add(attributes, "gen_ai.request.temperature").set_double_value(0.5);
      Add(attributes, "gen_ai.usage.input_tokens").set_int_value(12);
      Add(attributes, "gen_ai.usage.output_tokens").set_int_value(3);
    }
  }

  void FillEvent(std::uint64_t start, otlp::trace::v1::Span::Event& event) {
    event.set_time_unix_nano(start + random_() % 1'000'000);
    if (Half()) {
      event.set_name("retry");
      SetValue(Add(*event.mutable_attributes(), "attempt"), 2);
      return;
    }
    event.set_name("exception");
    Add(*event.mutable_attributes(), "exception.type").set_string_value("ValueError");
    Add(*event.mutable_attributes(), "exception.message").set_string_value(Text());
    if (Half()) {
      Add(*event.mutable_attributes(), "exception.stacktrace").set_string_value("line 1\nline 2");
    }
  }

  template <typename List>
  static otlp::common::v1::AnyValue& Add(List& attributes, const std::string& key) {
    auto* const attribute = attributes.Add();
    attribute->set_key(key);
    return *attribute->mutable_value();
  }

  // No bytes: a run has them as text.
  void SetValue(otlp::common::v1::AnyValue& value, int depth) {
    switch (random_() % (depth > 0 ? 6 : 4)) {
      case 0:
        return value.set_string_value(Text());
      case 1:
        return value.set_int_value(static_cast<std::int64_t>(random_()) - 1'000'000'000);
      case 2:
        return value.set_bool_value(Half());
      case 3:
        return value.set_double_value(0.25 * static_cast<double>(random_() % 1000));
      case 4:
        for (int i = 0; i < 2; ++i) {
          SetValue(*value.mutable_array_value()->add_values(), depth - 1);
        }
        return;
      default:
        SetValue(Add(*value.mutable_kvlist_value()->mutable_values(), Text()), depth - 1);
    }
  }

  bool Half() { return random_() % 2 == 0; }
  std::string Text() {
    constexpr const char* kTexts[] = {"a", "two words", "Gr\xc3\xbc\xc3\x9f", "\"quoted\"\n"};
    return kTexts[random_() % std::size(kTexts)] + std::to_string(random_() % 100);
  }
  std::string Bytes(std::size_t count) {
    std::string bytes(count, '\0');
    for (char& byte : bytes) byte = static_cast<char>(1 + random_() % 255);
    return bytes;
  }

  std::mt19937 random_;
};

// Each as the span that an OTLP destination would send of its run.
std::vector<otlp::trace::v1::Span> ThereAndBack(const TraceRequest& request) {
  std::string bytes = request.SerializeAsString();
  const absl::StatusOr<DecodedSpans> decoded = DecodeTraceRequest("", &bytes);
  EXPECT_TRUE(decoded.ok());
  SpanTree tree;
  for (const RunOp& op : decoded->ops) tree.AddSpan(ReadSpanIds(SlicesOf(op, bytes).span));
  tree.Settle();
  std::vector<otlp::trace::v1::Span> spans;
  for (const RunOp& op : decoded->ops) {
    const SpanIds ids = ReadSpanIds(SlicesOf(op, bytes).span);
    const SpanRun run = SpanToRun(op, bytes, tree.PlaceOf(ids));
    TraceRequest back;
    EXPECT_TRUE(back.ParseFromString(RequestOf(Outgoing(run.ops.at(0), run.payload))));
    spans.push_back(back.resource_spans(0).scope_spans(0).spans(0));
  }
  return spans;
}

const otlp::common::v1::AnyValue* FindAttribute(const otlp::trace::v1::Span& span,
                                                const std::string& key) {
  for (const auto& attribute : span.attributes()) {
    if (attribute.key() == key) return &attribute.value();
  }
  return nullptr;
}

// Attributes have no order.
bool SameEvent(const otlp::trace::v1::Span::Event& a, const otlp::trace::v1::Span::Event& b) {
  MessageDifferencer differencer;
  differencer.TreatAsSet(a.GetDescriptor()->FindFieldByName("attributes"));
  return differencer.Compare(a, b);
}

void ExpectSame(const otlp::trace::v1::Span& was, const otlp::trace::v1::Span& is) {
  EXPECT_EQ(is.name(), was.name());
  EXPECT_EQ(is.kind(), was.kind());
  EXPECT_EQ(is.trace_state(), was.trace_state());
  EXPECT_EQ(is.trace_id(), was.trace_id());
  EXPECT_EQ(is.start_time_unix_nano(), was.start_time_unix_nano());
  EXPECT_EQ(is.end_time_unix_nano(), was.end_time_unix_nano());
  EXPECT_TRUE(MessageDifferencer::Equals(is.status(), was.status()));
  ASSERT_EQ(is.events_size(), was.events_size());
  for (int i = 0; i < was.events_size(); ++i) {
    EXPECT_TRUE(SameEvent(is.events(i), was.events(i)));
  }
  ASSERT_EQ(is.links_size(), was.links_size());
  for (int i = 0; i < was.links_size(); ++i) {
    EXPECT_EQ(is.links(i).trace_id(), was.links(i).trace_id());
    EXPECT_EQ(is.links(i).span_id(), was.links(i).span_id());
    EXPECT_TRUE(MessageDifferencer::Equals(
        is.links(i).attributes(is.links(i).attributes_size() - 1), was.links(i).attributes(0)));
  }
  for (const auto& attribute : was.attributes()) {
    const auto* const found = FindAttribute(is, attribute.key());
    ASSERT_NE(found, nullptr) << attribute.key();
    EXPECT_TRUE(MessageDifferencer::Equals(*found, attribute.value()))
        << attribute.ShortDebugString() << " became " << found->ShortDebugString();
  }
}

TEST(RoundTripTest, ASpanIsTheSameAfterItWasARun) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    const TraceRequest before = RandomSpans(seed).Make();
    const auto& was = before.resource_spans(0).scope_spans(0).spans();
    const auto is = ThereAndBack(before);
    ASSERT_EQ(is.size(), 3u);
    for (int i = 0; i < 3; ++i) {
      SCOPED_TRACE(was[i].ShortDebugString() + "\n" +
                   is[static_cast<std::size_t>(i)].ShortDebugString());
      ExpectSame(was[i], is[static_cast<std::size_t>(i)]);
      if (::testing::Test::HasFailure()) return;
    }
    // A root has the id of its trace, so its span has the last bytes of that.
    const std::string root = was[0].trace_id().substr(8);
    EXPECT_EQ(is[0].span_id(), root);
    EXPECT_EQ(is[0].parent_span_id(), "");
    EXPECT_EQ(is[1].parent_span_id(), root);
    for (const std::size_t i : {1, 2})
      EXPECT_EQ(is[i].span_id(), was[static_cast<int>(i)].span_id());
    EXPECT_EQ(is[2].parent_span_id(), was[1].span_id());
  }
}

}  // namespace
}  // namespace weft::collector
