// SPDX-License-Identifier: Apache-2.0
// A collector that receives spans, and what can be read of them.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h>
#include <zlib.h>
#include <zstd.h>
#include <boost/json.hpp>

#include <weft/collector/collector.h>

#include "http2_support.h"
#include "http_test_util.h"
#include "memory_support.h"
#include "otlp_support.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

namespace json = boost::json;
using opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse;
using opentelemetry::proto::collector::trace::v1::TraceService;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kProtobuf[] = "application/x-protobuf";

std::string Gzip(const std::string& text, int window_bits) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

// Of the RetryInfo of a google.rpc.Status, whose messages Debian does not have.
int RetrySecondsIn(const std::string& status) {
  const auto field = [](const std::string& message, int number) {
    google::protobuf::UnknownFieldSet fields;
    EXPECT_TRUE(fields.ParseFromString(message));
    for (int i = 0; i < fields.field_count(); ++i) {
      if (fields.field(i).number() == number) return fields.field(i).length_delimited();
    }
    return std::string();
  };
  google::protobuf::Any info;
  google::protobuf::Duration delay;
  EXPECT_TRUE(info.ParseFromString(field(status, 3)));
  EXPECT_EQ(info.type_url(), "type.googleapis.com/google.rpc.RetryInfo");
  EXPECT_TRUE(delay.ParseFromString(field(info.value(), 1)));
  return static_cast<int>(delay.seconds());
}

class OtlpReceiveTest : public ::testing::Test {
 protected:
  void Start() {
    config_.data = directory_.path() / "data";
    config_.listen_grpc = config_.listen_otlp_http = config_.listen_http = "127.0.0.1:0";
    config_.min_free = 0;
    auto collector = Collector::Start(config_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
  }

  grpc::Status Export(const TraceRequest& request, ExportTraceServiceResponse* response = nullptr,
                      const std::vector<std::pair<std::string, std::string>>& metadata = {}) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxSendMessageSize(-1);
    auto stub = TraceService::NewStub(grpc::CreateCustomChannel(
        collector_->addresses().grpc, grpc::InsecureChannelCredentials(), arguments));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    for (const auto& [name, value] : metadata) context.AddMetadata(name, value);
    ExportTraceServiceResponse unused;
    return stub->Export(&context, request, response != nullptr ? response : &unused);
  }

  HttpResponse Post(const std::string& body, const Headers& headers,
                    const std::string& target = "/v1/traces") {
    return Fetch(collector_->addresses().otlp_http, "POST", target, headers, body);
  }

  json::array Runs(const std::string& trace_id) {
    const HttpResponse response =
        Fetch(collector_->addresses().http, "POST", "/runs/query",
              {{"Content-Type", "application/json"}}, "{\"trace\":\"" + trace_id + "\"}");
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body).at("runs").as_array();
  }

  // Reading waits for what was acknowledged before.
  std::string Names(const std::string& trace_id) {
    std::string names;
    for (const json::value& run : Runs(trace_id)) {
      (names += names.empty() ? "" : ", ") += std::string(run.at("name").as_string());
    }
    return names;
  }

  TemporaryDirectory directory_;
  CollectorConfig config_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(OtlpReceiveTest, SpansOverGrpcAreATraceOfRuns) {
  Start();
  TraceRequest children;
  SetText(*AddSpan(children, 2, 1), "gen_ai.operation.name", "chat");
  AddSpan(children, 3, 2)
      ->mutable_status()
      ->set_code(opentelemetry::proto::trace::v1::Status::STATUS_CODE_ERROR);
  ASSERT_TRUE(Export(children).ok());
  TraceRequest root;
  AddSpan(root, 1, 0);
  ASSERT_TRUE(Export(root, nullptr, {{"langsmith-project", "agents"}}).ok());

  const json::array runs = Runs(kOtelTraceId);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].at("id"), kOtelTraceId);
  EXPECT_EQ(runs[0].at("status"), "success");
  EXPECT_EQ(runs[1].at("parent_run_id"), kOtelTraceId);
  EXPECT_EQ(runs[1].at("run_type"), "llm");
  EXPECT_EQ(runs[2].at("status"), "error");
  EXPECT_EQ(runs[2].at("parent_run_id"), "00000000-0000-0000-0000-000000000002");
  for (const json::value& run : runs) EXPECT_EQ(run.at("session_name"), "agents");
  const std::string order(runs[2].at("dotted_order").as_string());
  EXPECT_TRUE(order.starts_with(std::string(runs[1].at("dotted_order").as_string()) + "."));

  const HttpResponse one =
      Fetch(collector_->addresses().http, "GET", "/runs/00000000-0000-0000-0000-000000000003");
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(json::parse(one.body), runs[2]);
}

TEST_F(OtlpReceiveTest, WhatWasAcknowledgedIsThereAfterARestart) {
  Start();
  TraceRequest request;
  for (std::uint64_t i = 1; i <= 3; ++i) AddSpan(request, i, i - 1);
  ASSERT_TRUE(Export(request).ok());
  collector_.reset();
  Start();
  EXPECT_EQ(Names(kOtelTraceId), "span 1, span 2, span 3");
}

TEST_F(OtlpReceiveTest, OfSeveralSpansWithoutAParentEachIsFoundByTheIdItIsListedWith) {
  Start();
  TraceRequest first, second;
  AddSpan(first, 1, 0);
  AddSpan(second, 2, 0);
  AddSpan(second, 3, 2);
  ASSERT_TRUE(Export(first).ok());
  ASSERT_TRUE(Export(second).ok());
  for (const bool again : {false, true}) {
    const json::array runs = Runs(kOtelTraceId);
    ASSERT_EQ(runs.size(), 3u);
    for (const json::value& run : runs) {
      const std::string id(run.at("id").as_string());
      const HttpResponse found = Fetch(collector_->addresses().http, "GET", "/runs/" + id);
      ASSERT_EQ(found.status, 200) << id << " " << found.body;
      EXPECT_EQ(json::parse(found.body), run);
    }
    EXPECT_EQ(runs[1].at("id"), "00000000-0000-0000-0000-000000000002");
    if (again) break;
    collector_.reset();
    Start();
  }
}

TEST_F(OtlpReceiveTest, InvalidSpansAreCountedAndReportedAndTheOthersKept) {
  Start();
  TraceRequest request;
  AddSpan(request, 1, 0);
  AddSpan(request, 2, 1)->set_span_id("no");
  ExportTraceServiceResponse response;
  ASSERT_TRUE(Export(request, &response).ok());
  EXPECT_EQ(response.partial_success().rejected_spans(), 1);
  EXPECT_EQ(response.partial_success().error_message(), "span 1: span_id: not 8 bytes");
  EXPECT_EQ(Names(kOtelTraceId), "span 1");
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_received_runs_total{receiver=\"otlp\"} 2\n"),
                    HasSubstr("weft_logged_runs_total{receiver=\"otlp\"} 1\n"),
                    HasSubstr("weft_parked_runs_total{receiver=\"otlp\"} 1\n")));
  std::ifstream parked(config_.data / "parked" / "received.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(parked, line));
  EXPECT_THAT(line, HasSubstr("span_id: not 8 bytes"));
}

TEST_F(OtlpReceiveTest, SpansThatAreTooLargeAreReportedAndTheOthersKept) {
  config_.max_run_bytes = 64 << 10;
  Start();
  const auto request = [](std::uint64_t first) {
    TraceRequest made;
    AddSpan(made, first, 0)->set_span_id("no");
    SetText(*AddSpan(made, first + 1, 0), "large", std::string(64 << 10, 'x'));
    AddSpan(made, first + 2, 0);
    return made;
  };
  ExportTraceServiceResponse response;
  ASSERT_TRUE(Export(request(1), &response).ok());
  const auto expect_both = [&] {
    EXPECT_EQ(response.partial_success().rejected_spans(), 2);
    EXPECT_THAT(response.partial_success().error_message(),
                AllOf(HasSubstr("span 0: span_id: not 8 bytes"),
                      HasSubstr("span 1: span: larger than a run may be, 65"),
                      HasSubstr(" bytes of 65536")));
  };
  expect_both();
  const HttpResponse http = Post(request(4).SerializeAsString(), {{"Content-Type", kProtobuf}});
  ASSERT_EQ(http.status, 200);
  response.Clear();
  ASSERT_TRUE(response.ParseFromString(http.body));
  expect_both();
  EXPECT_EQ(Names(kOtelTraceId), "span 3, span 6");
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_received_runs_total{receiver=\"otlp\"} 6\n"),
                    HasSubstr("weft_logged_runs_total{receiver=\"otlp\"} 2\n"),
                    HasSubstr("weft_parked_runs_total{receiver=\"otlp\"} 4\n")));
}

TEST_F(OtlpReceiveTest, AnswersGrpcAsClientsExpect) {
  config_.keys = {{"one", "secret"}};
  config_.max_grpc_message_bytes = 100'000;
  Start();
  TraceRequest request;
  AddSpan(request, 1, 0);
  EXPECT_EQ(Export(request).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Export(request, nullptr, {{"x-api-key", "wrong"}}).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(Export(request, nullptr, {{"x-api-key", "secret"}}).ok());
  EXPECT_TRUE(Export(request, nullptr, {{"authorization", "Bearer secret"}}).ok());
  SetText(*AddSpan(request, 2, 1), "big", std::string(200'000, 'x'));
  const grpc::Status large = Export(request, nullptr, {{"x-api-key", "secret"}});
  EXPECT_EQ(large.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(large.error_details(), "");

  grpc::GenericStub stub(
      grpc::CreateChannel(collector_->addresses().grpc, grpc::InsecureChannelCredentials()));
  const grpc::Slice slice("no message");
  const grpc::ByteBuffer garbage(&slice, 1);
  grpc::ByteBuffer answer;
  grpc::ClientContext context;
  context.AddMetadata("x-api-key", "secret");
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", {},
                 &garbage, &answer, [&](grpc::Status status) { done.set_value(status); });
  EXPECT_EQ(done.get_future().get().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(OtlpReceiveTest, ABombOverGrpcStaysWithinTheLimitOfAMessage) {
  constexpr std::size_t kMiB = 1 << 20;
  config_.max_grpc_message_bytes = kMiB;
  Start();
  grpc::ChannelArguments arguments;
  arguments.SetMaxSendMessageSize(-1);
  grpc::GenericStub stub(grpc::CreateCustomChannel(collector_->addresses().grpc,
                                                   grpc::InsecureChannelCredentials(), arguments));
  // All slices are the same bytes, so that what is sent takes no memory to speak of.
  const std::string zeros(kMiB, '\0');
  const std::vector<grpc::Slice> slices(256, grpc::Slice(zeros));
  const grpc::ByteBuffer bomb(slices.data(), slices.size());
  ForgetPeak();
  const std::size_t before = StatusBytes("VmRSS");
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    grpc::ByteBuffer answer;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", {},
                   &bomb, &answer, [&](grpc::Status status) { done.set_value(status); });
    const grpc::Status status = done.get_future().get();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    EXPECT_EQ(status.error_details(), "");
  }
  EXPECT_LT(StatusBytes("VmHWM"), MemoryBound(before + 64 * kMiB));
}

// CANCELLED would tell clients that somebody gave the request up.
// Before a message is there whole nobody knows whose it is, so a key does not help.
TEST_F(OtlpReceiveTest, CallsThatSendHalfAMessageDoNotTakeMemoryWithoutEnd) {
  config_.max_grpc_message_bytes = config_.max_inflight_bytes = 4 << 20;
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string address = collector_->addresses().grpc;
  const auto port = static_cast<std::uint16_t>(std::stoi(address.substr(address.find(':') + 1)));
  std::vector<std::unique_ptr<HalfCall>> calls;
  const auto is_over = [](const std::unique_ptr<HalfCall>& call) { return call->over(); };
  for (int i = 0; i < 64; ++i) {
    calls.push_back(std::make_unique<HalfCall>(
        port, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", 4 << 20, 3 << 20));
  }
  while (std::none_of(calls.begin(), calls.end(), is_over)) std::this_thread::yield();
  TraceRequest request;
  AddSpan(request, 1, 0);
  // It may be ended, too, as long as others take all there is, but there is room again.
  grpc::Status status;
  do {
    status = Export(request);
  } while (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED ||
           status.error_code() == grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(OtlpReceiveTest, ClientsAreToldToComeAgainWhenItStops) {
  Start();
  auto stub = TraceService::NewStub(
      grpc::CreateChannel(collector_->addresses().grpc, grpc::InsecureChannelCredentials()));
  TraceRequest request;
  AddSpan(request, 1, 0);
  constexpr int kClients = 4;
  std::atomic<int> answered{0};
  std::vector<grpc::Status> last(kClients);
  std::vector<std::thread> clients;
  for (grpc::Status& status : last) {
    clients.emplace_back([&] {
      do {
        grpc::ClientContext context;
        context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
        ExportTraceServiceResponse response;
        status = stub->Export(&context, request, &response);
        ++answered;
      } while (status.ok());
    });
  }
  while (answered < 20) std::this_thread::yield();
  collector_->Stop();
  for (std::thread& client : clients) client.join();
  for (const grpc::Status& status : last) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  }
}

TEST_F(OtlpReceiveTest, IsUnavailableWhileTheDiskIsLow) {
  config_.min_free = ~std::uint64_t{0} >> 1;
  config_.data = directory_.path() / "data";
  config_.listen_grpc = config_.listen_otlp_http = config_.listen_http = "127.0.0.1:0";
  auto collector = Collector::Start(config_);
  ASSERT_TRUE(collector.ok());
  collector_ = *std::move(collector);
  TraceRequest request;
  AddSpan(request, 1, 0);
  const grpc::Status status = Export(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  const HttpResponse response = Post(request.SerializeAsString(), {{"Content-Type", kProtobuf}});
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.count("retry-after"), 1u);
}

TEST_F(OtlpReceiveTest, WhatIsTooMuchAtOnceIsToldWhenToComeAgain) {
  config_.max_inflight_bytes = 1;
  Start();
  TraceRequest request;
  AddSpan(request, 1, 0);
  const grpc::Status status = Export(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  const int seconds = RetrySecondsIn(status.error_details());
  EXPECT_GE(seconds, 1);
  EXPECT_LE(seconds, 5);
  const HttpResponse response = Post(request.SerializeAsString(), {{"Content-Type", kProtobuf}});
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.headers.count("retry-after"), 1u);
}

TEST_F(OtlpReceiveTest, TakesEveryCodingOnEveryPath) {
  Start();
  std::uint64_t number = 0;
  const auto body = [&] {
    TraceRequest request;
    ++number;
    AddSpan(request, number, number - 1);
    return request.SerializeAsString();
  };
  const auto expect_accepted = [&](const std::string& sent, const char* coding, const char* path) {
    Headers headers = {{"Content-Type", kProtobuf}};
    if (*coding != '\0') headers.emplace_back("Content-Encoding", coding);
    const HttpResponse response = Post(sent, headers, path);
    EXPECT_EQ(response.status, 200) << coding << path;
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.headers.at("content-type"), kProtobuf);
  };
  expect_accepted(body(), "", "/v1/traces");
  expect_accepted(Gzip(body(), 31), "gzip", "/otel/v1/traces");
  expect_accepted(Gzip(body(), 15), "deflate", "/api/v1/otel/v1/traces");
  expect_accepted(Zstd(body()), "zstd", "/v1/traces/");
  EXPECT_EQ(Names(kOtelTraceId), "span 1, span 2, span 3, span 4");
  for (const char* path : {"/otel/v1/traces", "/api/v1/otel/v1/traces"}) {
    const HttpResponse response =
        Fetch(collector_->addresses().http, "POST", path, {{"Content-Type", kProtobuf}}, body());
    EXPECT_EQ(response.status, 200) << path;
  }
  EXPECT_EQ(Fetch(collector_->addresses().otlp_http, "GET", "/sessions").status, 404);
}

TEST_F(OtlpReceiveTest, TakesJsonAndAnswersInIt) {
  Start();
  TraceRequest request;
  const HttpResponse accepted = Post(
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[
        {"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0000000000000001","name":"json",
         "startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000000000001000"},
        {"traceId":"00","spanId":"0000000000000002"}]}]}]})",
      {{"Content-Type", "application/json; charset=utf-8"}, {"Langsmith-Project", "header"}});
  EXPECT_EQ(accepted.status, 200);
  EXPECT_EQ(json::parse(accepted.body).at("partialSuccess").at("rejectedSpans"), "1");
  const json::array runs = Runs(kOtelTraceId);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].at("name"), "json");
  EXPECT_EQ(runs[0].at("session_name"), "header");
  const HttpResponse empty = Post("{}", {{"Content-Type", "application/json"}});
  EXPECT_EQ(empty.status, 200);
  EXPECT_EQ(empty.body, "{}");
}

TEST_F(OtlpReceiveTest, ErrorsAreAStatusInTheEncodingOfTheRequest) {
  config_.max_decoded_bytes = 1 << 20;
  config_.max_wire_bytes = 1 << 20;
  Start();
  const Headers protobuf = {{"Content-Type", kProtobuf}},
                as_json = {{"Content-Type", "application/json"}};
  const HttpResponse unreadable = Post("\xff", protobuf);
  EXPECT_EQ(unreadable.status, 400);
  EXPECT_EQ(unreadable.headers.at("content-type"), kProtobuf);
  EXPECT_THAT(unreadable.body, AllOf(::testing::StartsWith("\x08\x03\x12"),
                                     HasSubstr("not an ExportTraceServiceRequest")));
  const HttpResponse no_json = Post("{", as_json);
  EXPECT_EQ(no_json.status, 400);
  EXPECT_EQ(json::parse(no_json.body).at("code"), 3);
  EXPECT_FALSE(json::parse(no_json.body).at("message").as_string().empty());
  EXPECT_EQ(Post("x", {{"Content-Type", "text/plain"}}).status, 415);
  EXPECT_EQ(Post("x", {{"Content-Type", kProtobuf}, {"Content-Encoding", "br"}}).status, 415);
  EXPECT_EQ(Post("x", {{"Content-Type", kProtobuf}, {"Content-Encoding", "gzip"}}).status, 400);
  EXPECT_EQ(Post(std::string((1 << 20) + 1, 'x'), protobuf).status, 413);
  // Bombs: 64 MiB of zeros in a few bytes.
  const std::string zeros(64 << 20, '\0');
  const struct {
    const char* coding;
    std::string body;
  } bombs[] = {{"gzip", Gzip(zeros, 31)}, {"deflate", Gzip(zeros, 15)}, {"zstd", Zstd(zeros)}};
  for (const auto& bomb : bombs) {
    const HttpResponse response =
        Post(bomb.body, {{"Content-Type", "application/json"}, {"Content-Encoding", bomb.coding}});
    EXPECT_EQ(response.status, 413) << bomb.coding;
    EXPECT_EQ(response.headers.count("retry-after"), 0u);
    EXPECT_EQ(json::parse(response.body).at("code"), 8);
  }
  EXPECT_EQ(Post("{}", as_json).status, 200);
}

TEST_F(OtlpReceiveTest, SpansThatNameATraceAreFoundWithThoseThatDoNot) {
  Start();
  constexpr char kNamed[] = "01990000-0000-7000-8000-000000000001";
  TraceRequest child;
  AddSpan(child, 2, 1);
  ASSERT_TRUE(Export(child).ok());
  TraceRequest root;
  SetText(*AddSpan(root, 1, 0), "langsmith.span.id", kNamed);
  ASSERT_TRUE(Export(root).ok());
  EXPECT_EQ(Names(kNamed), "span 1, span 2");
  // Who knows only OpenTelemetry's id finds the trace, too.
  EXPECT_EQ(Names(kOtelTraceId), "span 1, span 2");
  const HttpResponse one =
      Fetch(collector_->addresses().http, "GET", "/runs/00000000-0000-0000-0000-000000000002");
  EXPECT_EQ(json::parse(one.body).at("trace_id"), kNamed);
}

TEST_F(OtlpReceiveTest, ASpanBelowARunOfLangSmithIsInItsTrace) {
  Start();
  const std::string run = std::string(R"({"id":")") + kOtelTraceId +
                          R"(","name":"run","run_type":"chain","trace_id":")" + kOtelTraceId +
                          R"(","dotted_order":"20260910T002640013001Z)" + kOtelTraceId + R"("})";
  ASSERT_EQ(Fetch(collector_->addresses().http, "POST", "/runs",
                  {{"Content-Type", "application/json"}}, run)
                .status,
            202);
  TraceRequest request;
  AddSpan(request, 5, 0x090a0b0c0d0e0f10);  // as traceparent names the run
  ASSERT_TRUE(Export(request).ok());
  const json::array runs = Runs(kOtelTraceId);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1].at("name"), "span 5");
  EXPECT_EQ(runs[1].at("parent_run_id"), kOtelTraceId);
  EXPECT_TRUE(
      std::string(runs[1].at("dotted_order").as_string()).starts_with("20260910T002640013001Z"));
}

}  // namespace
}  // namespace weft::collector
