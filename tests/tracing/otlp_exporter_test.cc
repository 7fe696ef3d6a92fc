// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/otlp_exporter.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/run.h>

#include "../interceptors/certificate.h"
#include "export_records.h"
#include "otlp_receiver.h"

namespace weft::otlp_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using Exporting = std::shared_ptr<OtlpExporter>;

void Export(OtlpExporter& exporter, int runs) {
  for (int i = 0; i < runs; ++i) exporter.Export(MakeRecord("run " + std::to_string(i)));
}

std::vector<std::string> NamesOf(const std::vector<Span>& spans) {
  std::vector<std::string> names;
  for (const Span& span : spans) names.push_back(span.name());
  return names;
}

Exporting MakeGrpc(const GrpcReceiver& receiver, OtlpExporterOptions options = {}) {
  options.protocol = OtlpProtocol::kGrpc;
  if (options.endpoint.empty()) options.endpoint = receiver.target();
  if (options.flush_interval == milliseconds(200)) options.flush_interval = milliseconds(10);
  return OtlpExporter::Create(std::move(options)).value();
}

std::unique_ptr<FakeLangSmith> StartHttp() {
  auto http = FakeLangSmith::Start();
  http->SetDefault({.status = 200, .body = "", .content_type = "application/x-protobuf"});
  return http;
}

Exporting MakeHttp(const FakeLangSmith& receiver, OtlpExporterOptions options = {}) {
  options.endpoint = receiver.url() + "/v1/traces";
  if (options.flush_interval == milliseconds(200)) options.flush_interval = milliseconds(10);
  return OtlpExporter::Create(std::move(options)).value();
}

std::string Gunzip(const std::string& packed) {
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  std::string out(std::size_t{1} << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

std::vector<Span> SpansIn(const std::string& body) {
  Request request;
  EXPECT_TRUE(request.ParseFromString(body));
  return SpansOf(request);
}

/// A protobuf message with one field of bytes.
std::string Bytes(int field, const std::string& bytes) {
  return static_cast<char>(field << 3 | 2) + (static_cast<char>(bytes.size()) + bytes);
}

TEST(OtlpExporterTest, DeliversRunsOverGrpc) {
  GrpcReceiver receiver;
  const Exporting exporter = MakeGrpc(receiver, {.headers = {{"Api-Key", "k-1"}}});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(NamesOf(receiver.Spans()), (std::vector<std::string>{"run 0", "run 1", "run 2"}));
  EXPECT_THAT(receiver.metadata(), Contains(Pair("api-key", "k-1")));
  EXPECT_THAT(receiver.metadata(), Not(Contains(Key("traceparent"))));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.queued, 3u);
  EXPECT_EQ(stats.sent, 3u);
  EXPECT_EQ(stats.acknowledged, 3u);
}

TEST(OtlpExporterTest, DeliversRunsOverHttp) {
  const auto http = StartHttp();
  const Exporting exporter = MakeHttp(*http, {.headers = {{"Api-Key", "k-1"}, {"empty", ""}}});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  const auto requests = http->Requests();
  ASSERT_FALSE(requests.empty());
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].target, "/v1/traces");
  EXPECT_EQ(requests[0].Header("content-type"), "application/x-protobuf");
  EXPECT_EQ(requests[0].Header("api-key"), "k-1");
  EXPECT_THAT(requests[0].headers, Contains(Pair("empty", "")));
  std::vector<std::string> names;
  for (const auto& request : requests) {
    for (const Span& span : SpansIn(request.body)) names.push_back(span.name());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"run 0", "run 1", "run 2"}));
  EXPECT_EQ(exporter->Stats().acknowledged, 3u);
}

TEST(OtlpExporterTest, CompressesWhatItSends) {
  const auto http = StartHttp();
  const Exporting exporter = MakeHttp(*http, {.compression = OtlpCompression::kGzip});
  RunRecord record = MakeRecord("big");
  record.inputs = {{"text", std::string(50'000, 'x')}};
  exporter->Export(std::move(record));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  ASSERT_THAT(http->Requests(), SizeIs(1));
  const auto request = http->Requests()[0];
  EXPECT_EQ(request.Header("content-encoding"), "gzip");
  EXPECT_LT(request.body.size(), 5'000u);
  EXPECT_THAT(NamesOf(SpansIn(Gunzip(request.body))), SizeIs(1));
}

// `attempts`: how often the receiver sees one run that is answered like that at first.
struct Failure {
  const char* name;
  std::uint64_t attempts;
  std::uint64_t acknowledged;
  std::uint64_t rejected;
};

void Expect(const Failure& wanted, const ExporterStats& stats, std::uint64_t attempts) {
  EXPECT_EQ(attempts, wanted.attempts) << wanted.name;
  EXPECT_EQ(stats.acknowledged, wanted.acknowledged) << wanted.name;
  EXPECT_EQ(stats.dropped_rejected, wanted.rejected) << wanted.name;
  EXPECT_EQ(stats.queued, stats.acknowledged + stats.dropped() + stats.pending) << wanted.name;
}

TEST(OtlpExporterTest, RetriesOverGrpcWhatOtlpCallsRetryable) {
  using grpc::Status;
  using grpc::StatusCode;
  const std::pair<Failure, GrpcReceiver::Answer> kCases[] = {
      {{"CANCELLED", 2, 1, 0}, {.status = {StatusCode::CANCELLED, "x"}}},
      {{"DEADLINE_EXCEEDED", 2, 1, 0}, {.status = {StatusCode::DEADLINE_EXCEEDED, "x"}}},
      {{"ABORTED", 2, 1, 0}, {.status = {StatusCode::ABORTED, "x"}}},
      {{"OUT_OF_RANGE", 2, 1, 0}, {.status = {StatusCode::OUT_OF_RANGE, "x"}}},
      {{"UNAVAILABLE", 2, 1, 0}, {.status = {StatusCode::UNAVAILABLE, "x"}}},
      {{"UNAVAILABLE in time", 2, 1, 0},
       {.status = {StatusCode::UNAVAILABLE, "x", RetryInfo(0, 1'000'000)}}},
      {{"DATA_LOSS", 2, 1, 0}, {.status = {StatusCode::DATA_LOSS, "x"}}},
      {{"RESOURCE_EXHAUSTED in time", 2, 1, 0},
       {.status = {StatusCode::RESOURCE_EXHAUSTED, "x", RetryInfo(0, 1'000'000)}}},
      {{"RESOURCE_EXHAUSTED", 1, 0, 1}, {.status = {StatusCode::RESOURCE_EXHAUSTED, "quota"}}},
      {{"too large, then not", 2, 1, 0},
       {.status = {StatusCode::RESOURCE_EXHAUSTED, "message larger than max"}}},
      {{"INVALID_ARGUMENT", 1, 0, 1}, {.status = {StatusCode::INVALID_ARGUMENT, "x"}}},
      {{"UNKNOWN", 1, 0, 1}, {.status = {StatusCode::UNKNOWN, "x"}}},
      {{"NOT_FOUND", 1, 0, 1}, {.status = {StatusCode::NOT_FOUND, "x"}}},
      {{"PERMISSION_DENIED", 1, 0, 1}, {.status = {StatusCode::PERMISSION_DENIED, "x"}}},
      {{"UNAUTHENTICATED", 1, 0, 1}, {.status = {StatusCode::UNAUTHENTICATED, "x"}}},
      {{"UNIMPLEMENTED", 1, 0, 1}, {.status = {StatusCode::UNIMPLEMENTED, "x"}}},
      {{"INTERNAL", 1, 0, 1}, {.status = {StatusCode::INTERNAL, "x"}}},
      {{"broken details", 2, 1, 0}, {.status = {StatusCode::UNAVAILABLE, "x", "\x1a\x7f"}}},
      {{"partial success", 1, 0, 1}, {.rejected = 1, .message = "no room"}}};
  for (const auto& [wanted, answer] : kCases) {
    GrpcReceiver receiver;
    receiver.AnswerNext(answer);
    const Exporting exporter = MakeGrpc(receiver);
    Export(*exporter, 1);
    EXPECT_TRUE(exporter->Flush(seconds(20))) << wanted.name;
    Expect(wanted, exporter->Stats(), receiver.requests());
  }
}

TEST(OtlpExporterTest, RetriesOverHttpWhatOtlpCallsRetryable) {
  using Reply = FakeLangSmith::Reply;
  const std::string partial = Bytes(1, "\x08\x01" + Bytes(2, "no room"));
  const std::string warning = Bytes(1, Bytes(2, "soon"));
  const std::pair<Failure, Reply> kCases[] = {
      {{"429", 2, 1, 0}, {.status = 429}},
      {{"502", 2, 1, 0}, {.status = 502}},
      {{"503", 2, 1, 0}, {.status = 503, .retry_after = seconds(1)}},
      {{"504", 2, 1, 0}, {.status = 504}},
      {{"reset", 2, 1, 0}, {.reset = true}},
      {{"413", 2, 1, 0}, {.status = 413}},
      {{"400", 1, 0, 1}, {.status = 400}},
      {{"401", 1, 0, 1}, {.status = 401}},
      {{"403", 1, 0, 1}, {.status = 403}},
      {{"404", 1, 0, 1}, {.status = 404}},
      {{"408", 1, 0, 1}, {.status = 408}},
      {{"415", 1, 0, 1}, {.status = 415}},
      {{"500", 1, 0, 1}, {.status = 500}},
      {{"301", 1, 0, 1}, {.status = 301}},
      {{"partial success", 1, 0, 1}, {.status = 200, .body = partial}},
      {{"a warning", 1, 1, 0}, {.status = 200, .body = warning}},
      {{"nonsense", 1, 1, 0}, {.status = 200, .body = "\xff\xff\xff"}}};
  for (const auto& [wanted, reply] : kCases) {
    const auto http = StartHttp();
    http->Script({reply});
    const Exporting exporter = MakeHttp(*http);
    Export(*exporter, 1);
    EXPECT_TRUE(exporter->Flush(seconds(20))) << wanted.name;
    Expect(wanted, exporter->Stats(), http->Requests().size());
  }
}

TEST(OtlpExporterTest, CountsOnlyTheSpansThatWereRejected) {
  GrpcReceiver receiver;
  receiver.AnswerNext({.rejected = 2, .message = "no room"});
  const Exporting exporter = MakeGrpc(receiver, {.flush_interval = std::chrono::hours(1)});
  Export(*exporter, 5);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(receiver.requests(), 1u);
  EXPECT_EQ(exporter->Stats().acknowledged, 3u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 2u);
}

TEST(OtlpExporterTest, FindsTheRunThatIsRefused) {
  GrpcReceiver receiver;
  const grpc::Status bad(grpc::StatusCode::INVALID_ARGUMENT, "bad");
  receiver.AnswerNext({.status = bad});  // all four
  receiver.AnswerNext({.status = bad});  // the first two
  receiver.AnswerNext({.status = bad});  // the first
  const Exporting exporter = MakeGrpc(receiver, {.flush_interval = std::chrono::hours(1)});
  Export(*exporter, 4);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(NamesOf(receiver.Spans()), (std::vector<std::string>{"run 1", "run 2", "run 3"}));
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
}

TEST(OtlpExporterTest, MakesBatchesAndRunsFitTheReceiver) {
  GrpcReceiver receiver(100'000);
  const Exporting exporter = MakeGrpc(receiver, {.flush_interval = std::chrono::hours(1)});
  for (int i = 0; i < 4; ++i) {
    RunRecord record = MakeRecord("medium " + std::to_string(i));
    record.inputs = {{"text", std::string(40'000, 'x')}};
    exporter->Export(std::move(record));
  }
  RunRecord record = MakeRecord("large");
  record.inputs = {{"text", std::string(300'000, 'x')}};
  exporter->Export(std::move(record));
  EXPECT_TRUE(exporter->Flush(seconds(30)));
  const std::vector<Span> spans = receiver.Spans();
  EXPECT_THAT(NamesOf(spans),
              (std::vector<std::string>{"medium 0", "medium 1", "medium 2", "medium 3", "large"}));
  EXPECT_THAT(AttributesOf(spans.back()).at("gen_ai.prompt"),
              HasSubstr("{\"weft_truncated\":{\"bytes\":300011"));
  EXPECT_EQ(exporter->Stats().acknowledged, 5u);
}

TEST(OtlpExporterTest, GivesUpOnARequestAfterItsTimeout) {
  GrpcReceiver receiver;
  receiver.AnswerNext({.silence = true});
  const Exporting exporter = MakeGrpc(receiver, {.timeout = milliseconds(100)});
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(receiver.requests(), 2u);
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
}

TEST(OtlpExporterTest, ReturnsInTimeWhenTheReceiverIsSilent) {
  GrpcReceiver receiver;
  receiver.AnswerNext({.silence = true});
  const Exporting exporter = MakeGrpc(receiver, {.timeout = milliseconds(0)});
  Export(*exporter, 2);
  ASSERT_TRUE(receiver.WaitForRequests(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 2u);
}

TEST(OtlpExporterTest, DropsWhatNobodyTakesForTooLong) {
  const int port = GrpcReceiver().port();  // Nobody listens there any more.
  const Exporting exporter =
      OtlpExporter::Create({.protocol = OtlpProtocol::kGrpc,
                            .endpoint = "http://127.0.0.1:" + std::to_string(port),
                            .flush_interval = milliseconds(1),
                            .retry_for = milliseconds(50)})
          .value();
  Export(*exporter, 2);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 2u);
}

TEST(OtlpExporterTest, SendsARunThatWasOpenOnceAndWhole) {
  GrpcReceiver receiver;
  const Exporting exporter = MakeGrpc(receiver);
  const auto tracer =
      Tracer::Create({.open_run_delay = milliseconds(0), .exporters = {exporter}}).value();
  {
    weft::Run run("long", {.inputs = {{"q", 1}}, .tracer = tracer});
    // Sent as it is at once: what follows comes with its end.
    EXPECT_TRUE(exporter->Flush(seconds(20)));
    EXPECT_EQ(receiver.requests(), 0u);
    run.SetOutputs({{"a", 2}});
  }
  EXPECT_TRUE(tracer->Shutdown(seconds(20)));
  ASSERT_THAT(receiver.Spans(), SizeIs(1));
  EXPECT_THAT(AttributesOf(receiver.Spans()[0]),
              AllOf(Contains(Pair("gen_ai.prompt", "\"{\"q\":1}\"")),
                    Contains(Pair("gen_ai.completion", "\"{\"a\":2}\"")),
                    Not(Contains(Key("weft.unfinished")))));
  EXPECT_EQ(exporter->Stats().queued, 1u);
}

TEST(OtlpExporterTest, KeepsTheAttachmentsOfAnOpenRun) {
  GrpcReceiver receiver;
  const Exporting exporter = MakeGrpc(receiver);
  RunRecord open = MakeRecord("long");
  open.end.reset();
  open.attachments.push_back({"first", "text/plain", "1"});
  RunRecord end = open;
  end.operation = RunRecord::Operation::kPatch;
  end.end = end.start;
  end.attachments = {{"second", "text/plain", "2"}};
  exporter->Export(std::move(open));
  exporter->Export(std::move(end));
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  ASSERT_THAT(receiver.Spans(), SizeIs(1));
  EXPECT_THAT(AttributesOf(receiver.Spans()[0]).at("langsmith.attachments"),
              AllOf(HasSubstr("first"), HasSubstr("second")));
}

TEST(OtlpExporterTest, SendsWhatIsOpenAtShutdownUnfinished) {
  GrpcReceiver receiver;
  const auto tracer = Tracer::Create({.exporters = {MakeGrpc(receiver)}}).value();
  const weft::Run run("never ends", {.tracer = tracer, .make_current = false});
  EXPECT_TRUE(tracer->Shutdown(seconds(20)));
  ASSERT_THAT(receiver.Spans(), SizeIs(1));
  EXPECT_THAT(AttributesOf(receiver.Spans()[0]), Contains(Pair("weft.unfinished", "true")));
}

TEST(OtlpExporterTest, SendsWhatStaysOpenForTooLongUnfinished) {
  GrpcReceiver receiver;
  const Exporting exporter = MakeGrpc(receiver, {.queue_bytes = 4'000});
  const auto open = [](int i) {
    RunRecord record = MakeRecord("open " + std::to_string(i));
    record.end.reset();
    return record;
  };
  for (int i = 0; i < 20; ++i) exporter->Export(open(i));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  const auto spans = receiver.Spans();
  ASSERT_FALSE(spans.empty());
  EXPECT_LT(spans.size(), 20u);
  EXPECT_EQ(spans[0].name(), "open 0");
  EXPECT_THAT(AttributesOf(spans[0]), Contains(Pair("weft.unfinished", "true")));
}

TEST(OtlpExporterTest, SpeaksTls) {
  const auto certificate = echo_test::MakeCertificate("localhost", "DNS:localhost,IP:127.0.0.1");
  const std::string path = ::testing::TempDir() + "otlp_" + std::to_string(getpid()) + ".pem";
  std::ofstream(path) << certificate.pem;
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({certificate.key, certificate.pem});
  GrpcReceiver receiver(-1, grpc::SslServerCredentials(tls));
  const std::string address = "127.0.0.1:" + std::to_string(receiver.port());
  for (const std::string& endpoint : {"https://" + address + "/ignored", address}) {
    const Exporting exporter = MakeGrpc(receiver, {.endpoint = endpoint, .certificate = path});
    Export(*exporter, 1);
    EXPECT_TRUE(exporter->Flush(seconds(20)));
    EXPECT_EQ(exporter->Stats().acknowledged, 1u) << endpoint;
  }
  std::remove(path.c_str());
}

TEST(OtlpExporterTest, DropsEverythingInAForkedChild) {
  GrpcReceiver receiver;
  const Exporting exporter = MakeGrpc(receiver);
  const pid_t child = fork();
  if (child == 0) {
    Export(*exporter, 1);
    _exit(exporter->Shutdown(seconds(1)) ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(OtlpExporterTest, LetsNoSecretOut) {
  constexpr char kCanary[] = "Bearer canary.canary.canary";
  const auto http = StartHttp();
  const auto tracer = Tracer::Create({.redaction = {.presets = {RedactionPreset::kBearerTokens}},
                                      .open_run_delay = milliseconds(0),
                                      .exporters = {MakeHttp(*http)}})
                          .value();
  for (const bool open : {true, false}) {
    weft::Run run("secrets",
                  {.inputs = {{"i", kCanary}, {"extra_headers", {{"authorization", kCanary}}}},
                   .tags = {kCanary},
                   .metadata = {{"m", kCanary}},
                   .tracer = tracer});
    run.SetOutputs({{"o", JsonArray{kCanary}}});
    run.AddMetadata({{"added", {{"deep", kCanary}}}});
    run.AddEvent("event", {{"e", kCanary}});
    run.SetError(kCanary);
    if (open) run.End();
  }
  EXPECT_TRUE(tracer->Shutdown(seconds(20)));
  const auto requests = http->Requests();
  ASSERT_FALSE(requests.empty());
  std::size_t spans = 0;
  for (const auto& request : requests) {
    EXPECT_THAT(request.body, Not(HasSubstr("canary")));
    spans += SpansIn(request.body).size();
  }
  EXPECT_EQ(spans, 2u);
}

TEST(OtlpExporterTest, NamesTheOptionThatCannotBeUsed) {
  const auto refusal = [](OtlpExporterOptions options) {
    const auto exporter = OtlpExporter::Create(std::move(options));
    EXPECT_EQ(exporter.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(exporter.status().message());
  };
  constexpr auto kGrpc = OtlpProtocol::kGrpc;
  EXPECT_THAT(refusal({.endpoint = "localhost:4318"}), HasSubstr("endpoint: \"localhost:4318\""));
  EXPECT_THAT(refusal({.protocol = kGrpc, .endpoint = "http://"}),
              HasSubstr("endpoint: \"http://"));
  EXPECT_THAT(refusal({.protocol = kGrpc, .endpoint = "https://me:secret@host"}),
              HasSubstr("endpoint: \"https://***@host\""));
  EXPECT_THAT(refusal({.endpoint = "me:secret@host"}), HasSubstr("endpoint: \"***@host\""));
  EXPECT_THAT(refusal({.endpoint = "http://x\n"}), HasSubstr("endpoint"));
  EXPECT_THAT(refusal({.headers = {{"a b", "v"}}}), HasSubstr("headers: \"a b\""));
  EXPECT_THAT(refusal({.headers = {{"key", "canary\n"}}}),
              AllOf(HasSubstr("headers: the value of \"key\""), Not(HasSubstr("canary"))));
  EXPECT_THAT(refusal({.headers = {{"grpc-x", "v"}}}), HasSubstr("headers: \"grpc-x\""));
  EXPECT_THAT(refusal({.headers = {{"x-bin", "v"}}}), HasSubstr("headers: \"x-bin\""));
  EXPECT_THAT(refusal({.timeout = milliseconds(-1)}), HasSubstr("timeout: -1 ms"));
  EXPECT_THAT(refusal({.certificate = "/no/such.pem"}), HasSubstr("certificate: \"/no/such.pem\""));
  EXPECT_THAT(
      refusal({.protocol = kGrpc, .endpoint = "https://h:1", .certificate = "/no/such.pem"}),
      HasSubstr("certificate: \"/no/such.pem\""));
  EXPECT_THAT(refusal({.client_key = "/k"}), HasSubstr("client_key: \"/k\" needs"));
  EXPECT_THAT(refusal({.client_certificate = "/c"}), HasSubstr("client_certificate: \"/c\" needs"));
  EXPECT_THAT(refusal({.max_span_bytes = 0}), HasSubstr("max_span_bytes: 0"));
  EXPECT_THAT(refusal({.max_open = milliseconds(0)}), HasSubstr("max_open: 0"));
  EXPECT_THAT(refusal({.batch_runs = 0}), HasSubstr("batch_runs: 0"));
}

}  // namespace
}  // namespace weft::otlp_test
