// SPDX-License-Identifier: Apache-2.0
// Runs that become spans and runs again.
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/tracing/internal/otlp_request.h>

#include "destinations/run_json.h"
#include "destinations/run_span.h"
#include "destinations/span_places.h"
#include "otlp/span_to_run.h"
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

}  // namespace
}  // namespace weft::collector
