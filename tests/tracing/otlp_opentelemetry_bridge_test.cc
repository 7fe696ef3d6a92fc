// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/opentelemetry_bridge.h>

#include <array>
#include <string>

#include <gtest/gtest.h>

#include <weft/testing/in_memory_exporter.h>

namespace weft {
namespace {

namespace trace = ::opentelemetry::trace;

constexpr std::array<std::uint8_t, 16> kTraceId = {1, 2,  3,  4,  5,  6,  7,  8,
                                                   9, 10, 11, 12, 13, 14, 15, 16};
constexpr std::array<std::uint8_t, 8> kSpanId = {0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8};

opentelemetry::nostd::shared_ptr<trace::Span> SomeSpan() {
  return opentelemetry::nostd::shared_ptr<trace::Span>(new trace::DefaultSpan(
      trace::SpanContext(trace::TraceId(kTraceId), trace::SpanId(kSpanId), trace::TraceFlags(1),
                         /*is_remote=*/false, trace::TraceState::FromHeader("vendor=x"))));
}

trace::SpanContext CurrentSpan() {
  return trace::GetSpan(::opentelemetry::context::RuntimeContext::GetCurrent())->GetContext();
}

template <typename Id>
std::string Hex(const Id& id) {
  std::array<char, 2 * sizeof(id)> text;
  id.ToLowerBase16(text);
  return std::string(text.data(), text.size());
}

std::string WithoutHyphens(std::string id) {
  std::erase(id, '-');
  return id;
}

class OpenTelemetryBridgeTest : public ::testing::Test {
 protected:
  const std::shared_ptr<Tracer> tracer_ =
      Tracer::Create({.exporters = {std::make_shared<testing::InMemoryExporter>()}}).value();
};

TEST_F(OpenTelemetryBridgeTest, MakesRunsChildrenOfTheCurrentSpan) {
  const trace::Scope scope(SomeSpan());
  const weft::Run run("run", {.parent = OpenTelemetryParent(), .tracer = tracer_});
  EXPECT_EQ(run.context().trace_id().ToString(), "01020304-0506-0708-090a-0b0c0d0e0f10");
  EXPECT_EQ(run.context().parent_id()->ToString(), "00000000-0000-0000-a1a2-a3a4a5a6a7a8");
  EXPECT_EQ(run.ToHeaders().tracestate, "vendor=x");
}

TEST_F(OpenTelemetryBridgeTest, LeavesTheParentAloneWithoutASpan) {
  const weft::Run outer("outer", {.tracer = tracer_});
  const weft::Run inner("inner", {.parent = OpenTelemetryParent(), .tracer = tracer_});
  EXPECT_EQ(inner.context().parent_id(), outer.context().id());
}

TEST_F(OpenTelemetryBridgeTest, MakesARunTheCurrentSpan) {
  {
    const weft::Run run("run", {.tracer = tracer_});
    const OpenTelemetryScope scope(run.context());
    const trace::SpanContext span = CurrentSpan();
    EXPECT_TRUE(span.IsValid());
    EXPECT_TRUE(span.IsSampled());
    EXPECT_FALSE(span.IsRemote());
    EXPECT_EQ(Hex(span.trace_id()), WithoutHyphens(run.context().trace_id().ToString()));
    EXPECT_EQ(Hex(span.span_id()), WithoutHyphens(run.context().id().ToString()).substr(16));
  }
  EXPECT_FALSE(CurrentSpan().IsValid());
}

TEST_F(OpenTelemetryBridgeTest, KnowsTheRunThatItsSpanStandsFor) {
  const weft::Run outer("outer", {.tracer = tracer_});
  const OpenTelemetryScope scope(outer.context());
  const weft::Run inner("inner", {.parent = OpenTelemetryParent(), .tracer = tracer_});
  EXPECT_EQ(inner.context().parent_id(), outer.context().id());
  EXPECT_EQ(inner.context().trace_id(), outer.context().trace_id());
}

TEST_F(OpenTelemetryBridgeTest, PassesTheStateOfTheTraceOn) {
  const trace::Scope span(SomeSpan());
  const weft::Run run("run", {.parent = OpenTelemetryParent(), .tracer = tracer_});
  const OpenTelemetryScope scope(run.context());
  EXPECT_EQ(CurrentSpan().trace_state()->ToHeader(), "vendor=x");
  EXPECT_EQ(Hex(CurrentSpan().trace_id()), "0102030405060708090a0b0c0d0e0f10");
}

TEST_F(OpenTelemetryBridgeTest, DoesNothingForAnEmptyRun) {
  const OpenTelemetryScope scope{RunContext()};
  EXPECT_FALSE(CurrentSpan().IsValid());
}

}  // namespace
}  // namespace weft
