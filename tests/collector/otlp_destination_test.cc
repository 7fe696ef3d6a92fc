// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>

#include "destination_support.h"
#include "tracing/otlp_receiver.h"

namespace weft::collector {
namespace {

using otlp_test::AttributesOf;
using otlp_test::GrpcReceiver;
using otlp_test::Request;
using otlp_test::Span;
using ::testing::AllOf;
using ::testing::Contains;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr char kStart[] = "2026-01-02T03:04:05.000123Z";
constexpr char kEnd[] = "2026-01-02T03:04:06.500123Z";

class OtlpDestinationTest : public DestinationTest {
 protected:
  void Start() { Start(Options()); }
  void Start(DestinationOptions options) {
    DestinationConfig config;
    config.kind = DestinationConfig::Kind::kOtlp;
    config.target = "grpc://127.0.0.1:" + std::to_string(receiver_.port());
    StartDestination(config, std::move(options));
  }

  // The run `number` as the operation says it.
  static std::string Object(std::uint64_t number, const std::string& more) {
    const std::string id = IdOf(number).ToString();
    return "{\"id\":\"" + id + "\",\"trace_id\":\"" + id +
           "\",\"dotted_order\":\"20260102T030405000123Z" + id + "\"" + more + "}";
  }
  static std::string Begun(std::uint64_t number) {
    return Object(number,
                  ",\"name\":\"plan\",\"run_type\":\"llm\",\"session_name\":\"shop\","
                  "\"inputs\":{\"q\":\"why\"},\"start_time\":\"" +
                      std::string(kStart) + "\"");
  }
  static std::string Ended(std::uint64_t number) {
    return Object(number, ",\"outputs\":{\"a\":1},\"end_time\":\"" + std::string(kEnd) + "\"");
  }

  void Append(OpKind kind, std::uint64_t number, const std::string& text) {
    RunOp op;
    std::string payload;
    op.kind = kind;
    op.run_id = op.trace_id = IdOf(number);
    AddPart(op, payload, PartField::kRun, text);
    AppendRecord({op}, payload);
  }

  // A request of so many spans as it comes over OTLP, in a record.
  void AppendSpans(std::uint64_t first, int count) {
    Request request;
    auto* const resource = request.add_resource_spans();
    auto* const attribute = resource->mutable_resource()->add_attributes();
    attribute->set_key("service.name");
    attribute->mutable_value()->set_string_value("shop");
    auto* const scope = resource->add_scope_spans();
    scope->mutable_scope()->set_name("http");
    for (int i = 0; i < count; ++i) {
      Span* const span = scope->add_spans();
      span->set_trace_id(std::string(16, '\1'));
      span->set_span_id("span" + std::to_string(1000 + first + static_cast<std::uint64_t>(i)));
      span->set_name("n" + std::to_string(first + static_cast<std::uint64_t>(i)));
      span->set_start_time_unix_nano(1'767'323'045'000'000'001);
      span->set_end_time_unix_nano(1'767'323'046'000'000'002);
    }
    AppendRequest(request);
  }

  void AppendRequest(const Request& request) {
    const std::string payload = request.SerializeAsString();
    std::vector<RunOp> ops;
    for (const auto& resource : request.resource_spans()) {
      for (const auto& scope : resource.scope_spans()) {
        for (const Span& span : scope.spans()) {
          RunOp op;
          op.run_id = IdOf(ops.size() + 1);
          op.trace_id = IdOf(0);
          const std::string bytes = span.SerializeAsString();
          op.parts.push_back({PartField::kSpan, payload.find(bytes), bytes.size()});
          ops.push_back(std::move(op));
        }
      }
    }
    RecordHeader header = HeaderFor(payload);
    header.receiver = Receiver::kOtlp;
    header.ops = std::move(ops);
    const std::size_t count = header.ops.size();
    ASSERT_TRUE(AppendNow(*log_, std::move(header), payload).ok());
    logged_ += count;
  }

  std::set<std::string> SpanNames() {
    std::set<std::string> names;
    for (const Span& span : receiver_.Spans()) names.insert(span.name());
    return names;
  }

  GrpcReceiver receiver_;
};

TEST_F(OtlpDestinationTest, SendsARunWhenItHasEnded) {
  Append(OpKind::kPost, 1, Begun(1));
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.available == 1; }));
  EXPECT_EQ(destination_->Stats().lag, 1u);
  Append(OpKind::kPatch, 1, Ended(1));
  ASSERT_TRUE(WaitForDelivered(2));
  const std::vector<Span> spans = receiver_.Spans();
  ASSERT_THAT(spans, SizeIs(1));
  const RunId id = IdOf(1);
  EXPECT_EQ(spans[0].name(), "plan");
  EXPECT_EQ(spans[0].trace_id(), std::string(id.bytes.begin(), id.bytes.end()));
  EXPECT_EQ(spans[0].start_time_unix_nano(), 1'767'323'045'000'123'000u);
  EXPECT_EQ(spans[0].end_time_unix_nano(), 1'767'323'046'500'123'000u);
  EXPECT_EQ(spans[0].kind(), Span::SPAN_KIND_CLIENT);
  EXPECT_THAT(AttributesOf(spans[0]),
              AllOf(Contains(Pair("langsmith.span.id", "\"" + id.ToString() + "\"")),
                    Contains(Pair("langsmith.span.kind", "\"llm\"")),
                    Contains(Pair("langsmith.trace.session_name", "\"shop\"")),
                    Contains(Pair("gen_ai.prompt", R"("{"q":"why"}")")),
                    Contains(Pair("gen_ai.completion", R"("{"a":1}")"))));
  EXPECT_EQ(AttributesOf(receiver_.Kept().at(0).resource_spans(0).resource())["service.name"],
            "\"shop\"");
}

TEST_F(OtlpDestinationTest, TracesOfRunsThatHaveNotEndedAreOpen) {
  const auto open = [](std::uint64_t traces) {
    return [traces](const DestinationStats& stats) { return stats.open_traces == traces; };
  };
  const auto append = [this](OpKind kind, std::uint64_t number, std::uint64_t trace) {
    RunOp op;
    op.kind = kind;
    op.run_id = IdOf(number);
    op.trace_id = IdOf(trace);
    std::string payload;
    AddPart(op, payload, PartField::kRun, kind == OpKind::kPost ? Begun(number) : Ended(number));
    AppendRecord({op}, payload);
  };
  for (const std::uint64_t number : {1, 2}) append(OpKind::kPost, number, 1);
  append(OpKind::kPost, 3, 3);
  Start();
  EXPECT_TRUE(WaitFor(open(2)));
  append(OpKind::kPatch, 1, 1);
  append(OpKind::kPatch, 3, 3);
  EXPECT_TRUE(WaitFor(open(1)));
  destination_->Stop(std::chrono::seconds(5));
  destination_.reset();
  OpenLog();
  logged_ = 0;
  Start();
  EXPECT_TRUE(WaitFor(open(1)));
  append(OpKind::kPatch, 2, 1);
  EXPECT_TRUE(WaitFor(open(0)));
}

TEST_F(OtlpDestinationTest, IdsOfSpansMayBeTheFirstBytesOfThoseOfRuns) {
  DestinationOptions options = Options();
  options.span_ids = internal::SpanIdBytes::kFirst;
  Start(std::move(options));
  RunId root = RunId::Parse("01a0b35e-7a0d-7000-8000-00000000000d").value();
  RunId child = RunId::Parse("00000000-0000-0000-8000-00000000000e").value();  // made from a span
  std::string payload;
  std::vector<RunOp> ops(2);
  for (RunOp& op : ops) op.trace_id = root;
  ops[0].run_id = root;
  ops[1].run_id = child;
  const std::string rest = ",\"trace_id\":\"" + root.ToString() + "\",\"start_time\":\"" + kStart +
                           "\",\"end_time\":\"" + kEnd + "\"}";
  AddPart(ops[0], payload, PartField::kRun, "{\"id\":\"" + root.ToString() + "\"" + rest);
  AddPart(
      ops[1], payload, PartField::kRun,
      "{\"id\":\"" + child.ToString() + "\",\"parent_run_id\":\"" + root.ToString() + "\"" + rest);
  AppendRecord(ops, payload);
  ASSERT_TRUE(WaitForDelivered(2));
  std::map<std::string, std::string> parents;
  for (const Span& span : receiver_.Spans()) parents[span.span_id()] = span.parent_span_id();
  const std::string first("\x01\xa0\xb3\x5e\x7a\x0d\x70\x00", 8);
  const std::string last("\x80\0\0\0\0\0\0\x0e", 8);
  EXPECT_EQ(parents, (std::map<std::string, std::string>{{first, ""}, {last, first}}));
}

TEST_F(OtlpDestinationTest, AnEndMayComeBeforeItsBeginning) {
  Append(OpKind::kPatch, 1, Ended(1));
  Append(OpKind::kPost, 1, Begun(1));
  Append(OpKind::kPost, 2,
         Begun(2).substr(0, Begun(2).size() - 1) + ",\"end_time\":\"" + kEnd + "\"}");
  Start();
  ASSERT_TRUE(WaitForDelivered(3));
  EXPECT_THAT(receiver_.Spans(), SizeIs(2));
  EXPECT_EQ(destination_->Stats().sent, 3u);
}

TEST_F(OtlpDestinationTest, SaysErrorsEventsTagsAndAttachments) {
  RunOp op;
  std::string payload;
  op.run_id = op.trace_id = IdOf(1);
  op.has_error = true;
  AddPart(op, payload, PartField::kRun,
          Object(1,
                 ",\"name\":\"x\",\"tags\":[\"a\",\"b\"],\"start_time\":1767323045000,"
                 "\"end_time\":1767323046000"));
  AddPart(op, payload, PartField::kError, "\"ValueError: bad\\n\\nStacktrace:\\nline 1\"");
  AddPart(op, payload, PartField::kEvents,
          "[{\"name\":\"new_token\",\"time\":\"" + std::string(kStart) +
              "\",\"kwargs\":{\"token\":\"hi\"}}]");
  AddPart(op, payload, PartField::kExtra, "{\"metadata\":{\"k\":7,\"service.name\":\"agent\"}}");
  AddPart(op, payload, PartField::kAttachment, "abc", "note", "text/plain");
  AppendRecord({op}, payload);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  const Span span = receiver_.Spans().at(0);
  EXPECT_EQ(span.status().code(), otlp_test::otlp::trace::v1::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(span.status().message(), "ValueError: bad");
  ASSERT_EQ(span.events_size(), 2);
  EXPECT_EQ(span.events(0).name(), "exception");
  EXPECT_EQ(AttributesOf(span.events(0))["exception.type"], "\"ValueError\"");
  EXPECT_EQ(span.events(1).name(), "new_token");
  EXPECT_EQ(AttributesOf(span.events(1))["token"], "\"hi\"");
  EXPECT_THAT(AttributesOf(span),
              AllOf(Contains(Pair("langsmith.span.tags", "\"a, b\"")),
                    Contains(Pair("langsmith.metadata.k", "7")),
                    Contains(Pair("langsmith.attachments", HasSubstr("YWJj")))));
}

TEST_F(OtlpDestinationTest, ARunThatStaysOpenGoesOutUnfinished) {
  Append(OpKind::kPost, 1, Begun(1));
  DestinationOptions options = Options();
  options.max_open = std::chrono::milliseconds(1);
  Start(std::move(options));
  ASSERT_TRUE(WaitForDelivered(1));
  const Span span = receiver_.Spans().at(0);
  EXPECT_EQ(span.status().code(), otlp_test::otlp::trace::v1::Status::STATUS_CODE_UNSET);
  EXPECT_THAT(AttributesOf(span), Contains(Pair("weft.unfinished", "true")));
}

TEST_F(OtlpDestinationTest, OpenRunsOutliveARestart) {
  Append(OpKind::kPost, 1, Begun(1));
  Append(OpKind::kPost, 2, Begun(2));
  Append(OpKind::kPatch, 2, Ended(2));
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 2; }));
  destination_->Stop(std::chrono::seconds(5));
  destination_.reset();
  OpenLog();
  Append(OpKind::kPatch, 1, Ended(1));
  logged_ = 0;
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 2; }));
  const std::vector<Span> spans = receiver_.Spans();
  ASSERT_THAT(spans, SizeIs(2)) << "none twice";
  EXPECT_THAT(AttributesOf(spans[1]), Contains(Pair("gen_ai.prompt", R"("{"q":"why"}")")));
}

TEST_F(OtlpDestinationTest, LeavesFeedbackOut) {
  RunOp feedback;
  std::string payload;
  feedback.kind = OpKind::kFeedback;
  feedback.run_id = IdOf(1);
  AddPart(feedback, payload, PartField::kFeedback, "{\"id\":\"f\",\"score\":1}");
  AppendRecord({feedback}, payload);
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.filtered == 1; }));
  EXPECT_EQ(destination_->Stats().lag, 0u);
  EXPECT_EQ(receiver_.requests(), 0u);
}

TEST_F(OtlpDestinationTest, PassesSpansOnAsTheyCame) {
  AppendSpans(0, 3);
  AppendSpans(10, 2);
  Start();
  ASSERT_TRUE(WaitForDelivered(5));
  const std::vector<Request> kept = receiver_.Kept();
  ASSERT_THAT(kept, SizeIs(1)) << "requests behind each other are one";
  ASSERT_EQ(kept[0].resource_spans_size(), 2);
  EXPECT_EQ(kept[0].resource_spans(1).scope_spans(0).scope().name(), "http");
  EXPECT_THAT(SpanNames(), ::testing::ElementsAre("n0", "n1", "n10", "n11", "n2"));
  EXPECT_EQ(receiver_.Spans()[0].start_time_unix_nano(), 1'767'323'045'000'000'001u);
}

TEST_F(OtlpDestinationTest, HalvesWhatIsRefused) {
  AppendSpans(0, 4);
  for (int i = 0; i < 2; ++i) {
    receiver_.AnswerNext({.status = {grpc::StatusCode::INVALID_ARGUMENT, "bad span"}});
  }
  receiver_.AnswerNext({});
  receiver_.AnswerNext({});
  Start();
  ASSERT_TRUE(WaitForDelivered(4));
  EXPECT_EQ(destination_->Stats().errors.at("INVALID_ARGUMENT"), 2u);
  EXPECT_EQ(SpanNames(), (std::set<std::string>{"n0", "n1", "n2", "n3"}));
}

TEST_F(OtlpDestinationTest, ParksASpanThatIsRefusedAlone) {
  AppendSpans(0, 1);
  receiver_.AnswerNext({.status = {grpc::StatusCode::INVALID_ARGUMENT, "bad span"}});
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.parked == 1; }));
  ASSERT_THAT(Parked(), SizeIs(1));
  EXPECT_THAT(Parked()[0], AllOf(HasSubstr("INVALID_ARGUMENT"), HasSubstr("bad span")));
}

TEST_F(OtlpDestinationTest, PartialSuccessIsCountedAndNotSentAgain) {
  AppendSpans(0, 4);
  receiver_.AnswerNext({.rejected = 1, .message = "one is too old"});
  Start();
  ASSERT_TRUE(WaitForDelivered(4));
  const DestinationStats stats = destination_->Stats();
  EXPECT_EQ(stats.sent, 3u);
  EXPECT_EQ(stats.parked, 1u);
  EXPECT_EQ(stats.parked_unkept, 1u) << "which one it was, nobody said";
  EXPECT_EQ(stats.errors.at("partial success"), 1u);
  EXPECT_EQ(receiver_.requests(), 1u);
}

TEST_F(OtlpDestinationTest, WhatIsRejectedAltogetherIsParked) {
  AppendSpans(0, 3);
  receiver_.AnswerNext({.rejected = 3, .message = "none"});
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.parked == 3; }));
  EXPECT_EQ(destination_->Stats().parked_unkept, 0u);
  EXPECT_THAT(Parked(), SizeIs(3));
}

TEST_F(OtlpDestinationTest, WaitsAsRetryInfoSays) {
  AppendSpans(0, 2);
  receiver_.AnswerNext({.status = {grpc::StatusCode::RESOURCE_EXHAUSTED, "quota",
                                   otlp_test::RetryInfo(0, 50'000'000)}});
  const auto start = std::chrono::steady_clock::now();
  Start();
  ASSERT_TRUE(WaitForDelivered(2));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(50));
  EXPECT_EQ(destination_->Stats().sent, 2u);
}

TEST_F(OtlpDestinationTest, WithoutRetryInfoItIsNotAskedAgain) {
  AppendSpans(0, 2);
  receiver_.AnswerNext({.status = {grpc::StatusCode::RESOURCE_EXHAUSTED, "no more of you"}});
  Start();
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.parked == 2; }));
  EXPECT_EQ(receiver_.requests(), 1u);
  EXPECT_THAT(Parked(), SizeIs(2));
}

TEST_F(OtlpDestinationTest, HalvesWhatIsTooLarge) {
  AppendSpans(0, 4);
  receiver_.AnswerNext({.status = {grpc::StatusCode::RESOURCE_EXHAUSTED,
                                   "Received message larger than max (5 vs. 4)"}});
  Start();
  ASSERT_TRUE(WaitForDelivered(4));
  EXPECT_EQ(destination_->Stats().sent, 4u);
  EXPECT_EQ(receiver_.requests(), 3u);
  EXPECT_THAT(SpanNames(), SizeIs(4));
}

TEST_F(OtlpDestinationTest, RetriesWhatOtlpCallsRetryableAndWaitsForKeys) {
  AppendSpans(0, 1);
  using grpc::StatusCode;
  const StatusCode codes[] = {StatusCode::CANCELLED,    StatusCode::DEADLINE_EXCEEDED,
                              StatusCode::ABORTED,      StatusCode::OUT_OF_RANGE,
                              StatusCode::UNAVAILABLE,  StatusCode::DATA_LOSS,
                              StatusCode::UNIMPLEMENTED};
  for (const StatusCode code : codes) receiver_.AnswerNext({.status = {code, "later"}});
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_EQ(receiver_.requests(), std::size(codes) + 1);
  EXPECT_EQ(destination_->Stats().sent, 1u);
}

TEST_F(OtlpDestinationTest, RequestsStayBelowFourMebibytes) {
  std::vector<RunOp> ops;
  std::string payload;
  const std::string big(700'000, 'x');
  for (std::uint64_t i = 1; i <= 12; ++i) {
    RunOp op;
    op.run_id = op.trace_id = IdOf(i);
    AddPart(op, payload, PartField::kRun,
            Object(i, ",\"name\":\"x\",\"start_time\":1,\"end_time\":2"));
    AddPart(op, payload, PartField::kInputs, "{\"text\":\"" + big + "\"}");
    ops.push_back(std::move(op));
  }
  RunOp huge;
  huge.run_id = huge.trace_id = IdOf(99);
  AddPart(huge, payload, PartField::kRun,
          Object(99, ",\"name\":\"huge\",\"start_time\":1,\"end_time\":2"));
  AddPart(huge, payload, PartField::kInputs, "{\"text\":\"" + std::string(6u << 20, 'y') + "\"}");
  ops.push_back(std::move(huge));
  AppendRecord(std::move(ops), std::move(payload));
  Start();
  ASSERT_TRUE(WaitForDelivered(13));
  EXPECT_EQ(destination_->Stats().sent, 13u);
  EXPECT_THAT(receiver_.Spans(), SizeIs(13));
  for (const Request& request : receiver_.Kept()) EXPECT_LE(request.ByteSizeLong(), 4u << 20);
}

TEST_F(OtlpDestinationTest, SendsOverHttp) {
  const auto http = FakeLangSmith::Start();
  FakeLangSmith::Reply answer;
  answer.status = 200;
  answer.content_type = "application/x-protobuf";
  answer.body = "";
  http->SetDefault(answer);
  FakeLangSmith::Reply later = answer;
  later.status = 503;
  http->Script({later});
  AppendSpans(0, 3);
  Append(OpKind::kPost, 1, Begun(1));
  Append(OpKind::kPatch, 1, Ended(1));
  DestinationConfig config;
  config.kind = DestinationConfig::Kind::kOtlp;
  config.target = http->url();
  config.api_key = "k-1";
  StartDestination(config, Options());
  ASSERT_TRUE(WaitForDelivered(5));
  std::size_t spans = 0;
  for (const FakeLangSmith::Request& request : http->Requests()) {
    EXPECT_EQ(request.target, "/v1/traces");
    EXPECT_EQ(request.Header("content-type"), "application/x-protobuf");
    EXPECT_EQ(request.Header("x-api-key"), "k-1");
    EXPECT_EQ(request.Header("content-encoding"), "")
        << "on one machine it costs more than it saves";
    Request read;
    ASSERT_TRUE(read.ParseFromString(request.body));
    if (request.status == 200) spans += otlp_test::SpansOf(read).size();
  }
  EXPECT_EQ(spans, 4u);
}

}  // namespace
}  // namespace weft::collector
