// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h>
#include <weft/collector/v1/collector.grpc.pb.h>

#include <weft/collector/collector.h>
#include <weft/collector/log.h>
#include <weft/tracing/internal/http_client.h>
#include <weft/tracing/internal/proto_writer.h>

#include "storage_support.h"
#include "tls_support.h"

namespace weft::collector {
namespace {

using internal::HttpClient;
using internal::IncomingReply;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kRunHead[] = R"({"id":"01a0b35e-7a0d-7000-8000-00000000000d","name":"n",)"
                            R"("run_type":"chain",)";

std::string RunJson(const std::string& members) { return kRunHead + members + "}"; }

class OperationsTest : public ::testing::Test {
 protected:
  OperationsTest() {
    config_.data = directory_.path() / "data";
    config_.listen_grpc = config_.listen_otlp_http = config_.listen_http = "127.0.0.1:0";
    config_.segment_size = 1 << 20;
    config_.min_free = 0;
  }

  void Start() {
    auto collector = Collector::Start(config_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
  }

  TlsConfig WriteTls(const std::string& name, const TestIssuer::Issued& issued,
                     const std::string& client_ca = "") {
    TlsConfig tls;
    tls.cert = WriteText(directory_.path() / (name + ".crt"), issued.cert);
    tls.key = WriteText(directory_.path() / (name + ".key"), issued.key);
    if (!client_ca.empty()) {
      tls.client_ca = WriteText(directory_.path() / (name + ".ca"), client_ca);
    }
    return tls;
  }

  internal::TlsFiles Trusting(const TestIssuer& issuer) {
    return {WriteText(directory_.path() / "roots", issuer.cert()).string(), "", ""};
  }

  IncomingReply Send(HttpClient& client, const std::string& method, const std::string& path,
                     const std::string& body = "", const std::string& key = "",
                     internal::TlsFiles tls = {}, const std::string& header = "") {
    internal::OutgoingRequest request;
    request.method = method;
    request.url =
        (tls.ca_file.empty() ? "http://" : "https://") + collector_->addresses().http + path;
    request.headers = {"Content-Type: application/json"};
    if (!key.empty()) request.headers.push_back("x-api-key: " + key);
    if (!header.empty()) request.headers.push_back(header);
    request.body = body;
    request.tls = std::move(tls);
    request.timeout = seconds(30);
    const std::atomic<bool> abort{false};
    return client.Send(request, abort);
  }
  IncomingReply Send(const std::string& method, const std::string& path,
                     const std::string& body = "", const std::string& key = "",
                     const std::string& header = "") {
    HttpClient client;
    return Send(client, method, path, body, key, {}, header);
  }

  static grpc::Status Export(grpc::Channel& channel, RunId id, const std::string& key = "") {
    const std::shared_ptr<grpc::Channel> shared(&channel, [](grpc::Channel*) {});
    auto stub = v1::CollectorService::NewStub(shared);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + seconds(30));
    if (!key.empty()) context.AddMetadata("x-api-key", key);
    v1::ExportRequest request;
    v1::RunOperation* const operation = request.mutable_batch()->add_operations();
    operation->set_kind(v1::RunOperation::KIND_POST);
    operation->set_run_id(id.bytes.data(), id.bytes.size());
    operation->set_run("{\"id\":\"" + id.ToString() + "\",\"name\":\"n\"}");
    v1::ExportResponse response;
    return stub->Export(&context, request, &response);
  }

  std::shared_ptr<grpc::Channel> GrpcChannel(const std::string& roots,
                                             const TestIssuer::Issued& client = {}) {
    grpc::ChannelArguments arguments;
    // Otherwise channels with the same credentials share connections.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(collector_->addresses().grpc,
                                     grpc::SslCredentials({roots, client.key, client.cert}),
                                     arguments);
  }

  // What lies in the log, decoded; stops the collector.
  std::string Logged(std::vector<RecordHeader>* headers = nullptr) {
    collector_.reset();
    LogOptions options = SmallLog(config_.data);
    options.segment_bytes = config_.segment_size;
    auto log = Log::Open(options);
    EXPECT_TRUE(log.ok()) << log.status();
    std::string all;
    for (Position at = (*log)->Begin();;) {
      auto record = (*log)->Read(at);
      if (!record.ok()) return all;
      all += record->Decoded().value_or("") + "\n";
      if (headers != nullptr) headers->push_back(record->header);
      at = record->next;
    }
  }

  TemporaryDirectory directory_;
  CollectorConfig config_;
  std::unique_ptr<Collector> collector_;
};

TEST_F(OperationsTest, ServesHttpAndGrpcWithTls) {
  const TestIssuer issuer("issuer");
  config_.tls = WriteTls("server", issuer.Issue("server"));
  Start();
  HttpClient client;
  const IncomingReply reply =
      Send(client, "POST", "/runs", RunJson(R"("inputs":{})"), "", Trusting(issuer));
  EXPECT_EQ(reply.status, 202) << reply.error << reply.body;
  EXPECT_TRUE(Export(*GrpcChannel(issuer.cert()), IdOf(1)).ok());
  EXPECT_EQ(Send("GET", "/live").status, 0) << "plain HTTP on a listener with TLS";
  EXPECT_FALSE(Export(*GrpcChannel(TestIssuer("other").cert()), IdOf(2)).ok());
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_tls_expiry_timestamp_seconds{listener=\"grpc\"}"),
                    Not(HasSubstr("weft_tls_failures_total 0\n"))));
}

TEST_F(OperationsTest, AsksCallersForCertificatesWhereTheConfigurationSaysSo) {
  const TestIssuer issuer("issuer");
  const TestIssuer callers("callers");
  config_.tls = WriteTls("server", issuer.Issue("server"), callers.cert());
  Start();
  const TestIssuer::Issued client = callers.Issue("client");
  internal::TlsFiles tls = Trusting(issuer);
  HttpClient stranger;
  EXPECT_EQ(Send(stranger, "GET", "/live", "", "", tls).status, 0);
  tls.certificate_file = WriteText(directory_.path() / "client.crt", client.cert);
  tls.key_file = WriteText(directory_.path() / "client.key", client.key);
  HttpClient known;
  EXPECT_EQ(Send(known, "GET", "/live", "", "", tls).status, 200);
  EXPECT_FALSE(Export(*GrpcChannel(issuer.cert()), IdOf(1)).ok());
  EXPECT_FALSE(Export(*GrpcChannel(issuer.cert(), issuer.Issue("wrong")), IdOf(2)).ok());
  EXPECT_TRUE(Export(*GrpcChannel(issuer.cert(), client), IdOf(3)).ok());
}

TEST_F(OperationsTest, NewCertificatesAreForNewConnectionsAndOpenOnesGoOn) {
  const TestIssuer before("before");
  const TestIssuer after("after");
  config_.tls = WriteTls("server", before.Issue("server"));
  Start();
  const internal::TlsFiles old_roots = Trusting(before);
  const auto channel = GrpcChannel(before.cert());
  HttpClient kept;
  ASSERT_EQ(Send(kept, "GET", "/live", "", "", old_roots).status, 200);
  ASSERT_TRUE(Export(*channel, IdOf(1)).ok());

  WriteText(config_.tls.key, "no key");
  EXPECT_FALSE(collector_->Reload(config_).ok());
  ASSERT_EQ(Send(kept, "GET", "/live", "", "", old_roots).status, 200);
  WriteTls("server", after.Issue("server"));
  ASSERT_TRUE(collector_->Reload(config_).ok());

  EXPECT_EQ(Send(kept, "GET", "/live", "", "", old_roots).status, 200);
  EXPECT_TRUE(Export(*channel, IdOf(2)).ok());
  HttpClient late;
  EXPECT_EQ(Send(late, "GET", "/live", "", "", old_roots).status, 0);
  EXPECT_FALSE(Export(*GrpcChannel(before.cert()), IdOf(3)).ok());
  EXPECT_TRUE(Export(*GrpcChannel(after.cert()), IdOf(4)).ok());
  HttpClient fresh;
  EXPECT_EQ(Send(fresh, "GET", "/live", "", "", Trusting(after)).status, 200);
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_config_reloads_total{result=\"ok\"} 1\n"),
                    HasSubstr("weft_config_reloads_total{result=\"refused\"} 1\n")));
}

TEST_F(OperationsTest, KeysOpenProjectsTenantsHaveRatesAndWritersMayNotRead) {
  NamedKey team{"team", "t"};
  team.tenant = "acme";
  team.projects = {"one"};
  team.read = false;
  NamedKey ops{"ops", "o"};
  ops.admin = true;
  config_.keys = {team, ops};
  config_.tenants = {{"acme", 2, 0}};
  Start();
  EXPECT_EQ(Send("POST", "/runs", RunJson(R"("session_name":"one")")).status, 401);
  EXPECT_EQ(Send("POST", "/runs", RunJson(R"("session_name":"two")"), "t").status, 403);
  EXPECT_EQ(Send("POST", "/runs", RunJson(R"("session_name":"one")"), "t").status, 202);
  EXPECT_EQ(Send("POST", "/runs", RunJson(R"("session_name":"one")"), "", "Authorization: Bearer t")
                .status,
            202);
  // Two a second: the rest of this loop is refused at latest when that is used up.
  IncomingReply refused;
  for (int i = 0; i < 1000 && refused.status != 429; ++i) {
    refused = Send("POST", "/runs", RunJson(R"("session_name":"one")"), "t");
  }
  EXPECT_EQ(refused.status, 429);
  EXPECT_TRUE(refused.retry_after.has_value());
  EXPECT_EQ(Send("GET", "/sessions", "", "t").status, 403);
  EXPECT_EQ(Send("GET", "/sessions", "", "o").status, 200);
  const auto channel =
      grpc::CreateChannel(collector_->addresses().grpc, grpc::InsecureChannelCredentials());
  EXPECT_EQ(Export(*channel, IdOf(1), "t").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  const std::string metrics = collector_->Metrics();
  EXPECT_THAT(metrics,
              AllOf(HasSubstr("weft_received_runs_total{receiver=\"langsmith\",tenant=\"acme\"}"),
                    HasSubstr("{receiver=\"langsmith\",reason=\"tenant_rate\"}"),
                    HasSubstr("{receiver=\"langsmith\",reason=\"project\"} 1\n")));
  std::vector<RecordHeader> headers;
  Logged(&headers);
  ASSERT_FALSE(headers.empty());
  EXPECT_EQ(headers.front().tenant, "acme");
}

TEST_F(OperationsTest, ABodyLargerThanItsTenantMaySendNeverComesAgain) {
  namespace otlp = opentelemetry::proto::collector::trace::v1;
  NamedKey team{"team", "t"};
  team.tenant = "acme";
  config_.keys = {team, {"other", "o"}};
  config_.tenants = {{.name = "acme", .max_body = 200}};
  Start();
  const std::string large = RunJson("\"inputs\":\"" + std::string(200, 'x') + "\"");
  const IncomingReply refused = Send("POST", "/runs", large, "t");
  EXPECT_EQ(refused.status, 413);
  EXPECT_FALSE(refused.retry_after.has_value());
  EXPECT_EQ(Send("POST", "/runs", large, "o").status, 202);
  EXPECT_EQ(Send("POST", "/runs", RunJson("\"inputs\":1"), "t").status, 202);

  const auto channel =
      grpc::CreateChannel(collector_->addresses().grpc, grpc::InsecureChannelCredentials());
  otlp::ExportTraceServiceRequest request;
  auto* const span = request.add_resource_spans()->add_scope_spans()->add_spans();
  span->set_trace_id("0123456789abcdef");
  span->set_span_id("01234567");
  span->set_name(std::string(200, 'x'));
  const auto stub = otlp::TraceService::NewStub(channel);
  grpc::ClientContext context;
  context.AddMetadata("x-api-key", "t");
  otlp::ExportTraceServiceResponse response;
  const grpc::Status status = stub->Export(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_details(), "") << "with RetryInfo it would come again";
  EXPECT_THAT(collector_->Metrics(), HasSubstr("reason=\"too_large\"} 1\n"));
}

TEST_F(OperationsTest, ATenantHasLimitsOfItsOwnForRunsAndTraces) {
  NamedKey team{"team", "t"};
  team.tenant = "acme";
  NamedKey other{"other", "o"};
  other.admin = true;
  config_.keys = {team, other};
  config_.tenants = {{.name = "acme", .max_run = 5'000, .max_trace_runs = 2}};
  Start();
  const std::string trace = IdOf(1).ToString();
  const auto run = [&](std::uint64_t number) {
    const std::string id = IdOf(number).ToString(), part = "20260910T002640000000Z";
    return "{\"id\":\"" + id + "\",\"trace_id\":\"" + trace + "\",\"name\":\"n\",\"inputs\":\"" +
           std::string(9'000, 'x') + "\",\"dotted_order\":\"" + part + trace +
           (number == 1 ? "\"}" : "." + part + id + "\",\"parent_run_id\":\"" + trace + "\"}");
  };
  const auto read = [&](std::uint64_t number) {
    return Send("GET", "/runs/" + IdOf(number).ToString(), "", "o");
  };
  EXPECT_EQ(Send("POST", "/runs", run(1), "t").status, 202);
  EXPECT_EQ(Send("POST", "/runs", run(2), "t").status, 202);
  EXPECT_THAT(read(2).body, HasSubstr("weft_truncated"));
  EXPECT_EQ(Send("POST", "/runs", run(3), "t").status, 202);
  EXPECT_EQ(read(3).status, 404);
  EXPECT_THAT(Send("GET", "/admin/parked", "", "o").body,
              HasSubstr("its trace has as many runs as a trace may have"));
  EXPECT_EQ(Send("POST", "/runs", run(4), "o").status, 202);
  const IncomingReply whole = read(4);
  EXPECT_EQ(whole.status, 200);
  EXPECT_THAT(whole.body, Not(HasSubstr("weft_truncated")));
}

TEST_F(OperationsTest, OtlpOverARateSaysWhenToComeAgain) {
  namespace otlp = opentelemetry::proto::collector::trace::v1;
  NamedKey team{"team", "t"};
  team.tenant = "acme";
  config_.keys = {team};
  config_.tenants = {{"acme", 0, 1}};
  Start();
  otlp::ExportTraceServiceRequest request;
  auto* const span = request.add_resource_spans()->add_scope_spans()->add_spans();
  span->set_trace_id("0123456789abcdef");
  span->set_span_id("01234567");
  span->set_start_time_unix_nano(1'700'000'000'000'000'000);
  const auto stub = otlp::TraceService::NewStub(
      grpc::CreateChannel(collector_->addresses().grpc, grpc::InsecureChannelCredentials()));
  const auto send = [&] {
    grpc::ClientContext context;
    context.AddMetadata("x-api-key", "t");
    otlp::ExportTraceServiceResponse response;
    return stub->Export(&context, request, &response);
  };
  EXPECT_TRUE(send().ok());
  const grpc::Status status = send();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
}

TEST_F(OperationsTest, MappedKeysFollowTheConfiguration) {
  NamedKey team{"team", "weft-key"};
  team.forward = NamedKey::Forward::kMapped;
  team.forward_key = "first";
  config_.keys = {team};
  Start();
  ASSERT_EQ(Send("POST", "/runs", RunJson(R"("inputs":{})"), "weft-key").status, 202);
  std::vector<RecordHeader> headers;
  Logged(&headers);
  ASSERT_EQ(headers.size(), 1u);
  auto ring = KeyRing::Open(config_.data);
  ASSERT_TRUE(ring.ok());
  EXPECT_EQ((*ring)->Find(headers[0].key_id), std::nullopt);
  (*ring)->SetMapped({{"team", "second"}});
  EXPECT_EQ((*ring)->Find(headers[0].key_id), "second");
}

TEST_F(OperationsTest, TakesSecretsOutBeforeTheLog) {
  config_.redaction.presets = {RedactionPreset::kEmail, RedactionPreset::kApiKeys};
  config_.redaction.rules = {{{.name = "ssn", .value = "\\d{3}-\\d{2}-\\d{4}"}, {}, {"default"}},
                             {{.name = "elsewhere", .value = "word"}, {}, {"other"}}};
  Start();
  const std::string run =
      RunJson(R"("inputs":{"to":"ann@example.com","n":1.50,"ssn":"123-45-6789"},)"
              R"("outputs":{"word":12345678901234567890123},"error":"bob@example.com failed",)"
              R"("tags":["carl@example.com"],)"
              R"("extra":{"metadata":{"password":"hunter2"},"runtime":{"who":"eve@example.com"}})");
  ASSERT_EQ(Send("POST", "/runs", run).status, 202);
  EXPECT_THAT(Send("POST", "/runs", R"({"id":"no id","inputs":"dan@example.com"})").body,
              HasSubstr("\"parked\":1"));
  EXPECT_THAT(collector_->Metrics(), AllOf(HasSubstr("weft_redacted_total{rule=\"email\"} 4\n"),
                                           HasSubstr("weft_redacted_total{rule=\"ssn\"} 1\n")));
  const std::string logged = Logged();
  EXPECT_THAT(logged, AllOf(HasSubstr("[redacted] failed"), HasSubstr("12345678901234567890123"),
                            HasSubstr("01a0b35e-7a0d-7000-8000-00000000000d"),
                            Not(HasSubstr("example.com")), Not(HasSubstr("hunter2")),
                            Not(HasSubstr("123-45-6789"))));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(config_.data)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string content(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(content.find("example.com"), std::string::npos) << entry.path();
  }
}

TEST_F(OperationsTest, WhereNothingIsFoundTheBytesStay) {
  config_.redaction.presets = {RedactionPreset::kEmail};
  Start();
  const std::string run = RunJson(R"("inputs":{"n": 1.50, "big":12345678901234567890123})");
  ASSERT_EQ(Send("POST", "/runs", run).status, 202);
  EXPECT_EQ(Logged(), run + "\n");
}

// {"key": value} as a KeyValue with a string.
void WriteAttribute(internal::ProtoWriter& out, int field, const std::string& key,
                    const std::string& value) {
  const auto mark = out.Begin(field);
  out.Text(1, key);
  const auto any = out.Begin(2);
  out.Text(1, value);
  out.End(any);
  out.End(mark);
}

TEST_F(OperationsTest, TakesSecretsOutOfSpans) {
  using enum RedactionAction;
  config_.redaction.presets = {RedactionPreset::kEmail};
  config_.redaction.rules = {
      {{.name = "secret", .pointer = "/inputs/secret"}, {}, {}},
      {{.pointer = "/metadata/*", .allow = "gen_ai[.].*|owner|plain", .action = kDrop}, {}, {}}};
  Start();
  std::string request;
  internal::ProtoWriter out(request);
  const auto resource_spans = out.Begin(1);
  const auto resource = out.Begin(1);
  WriteAttribute(out, 1, "owner", "ann@example.com");
  WriteAttribute(out, 1, "host", "unlisted");
  out.End(resource);
  const auto scope_spans = out.Begin(2);
  const auto span = out.Begin(2);
  out.Text(1, "0123456789abcdef");
  out.Text(2, "01234567");
  out.Text(5, "chat");
  out.Fixed64(7, 1'700'000'000'000'000'000);
  out.Fixed64(8, 1'700'000'001'000'000'000);
  WriteAttribute(out, 9, "gen_ai.prompt", R"({"secret":"deep","to":"bob@example.com"})");
  WriteAttribute(out, 9, "plain", "stays");
  WriteAttribute(out, 9, "plainer", "unlisted");
  const auto status = out.Begin(15);
  out.Text(2, "eve@example.com");
  out.End(status);
  out.End(span);
  out.End(scope_spans);
  out.End(resource_spans);
  HttpClient client;
  internal::OutgoingRequest post;
  post.url = "http://" + collector_->addresses().otlp_http + "/v1/traces";
  post.headers = {"Content-Type: application/x-protobuf", "Langsmith-Project: p"};
  post.body = request;
  const std::atomic<bool> abort{false};
  const IncomingReply reply = client.Send(post, abort);
  ASSERT_EQ(reply.status, 200) << reply.body;
  std::vector<RecordHeader> headers;
  const std::string logged = Logged(&headers);
  EXPECT_THAT(logged, AllOf(HasSubstr("stays"), HasSubstr("chat"), HasSubstr("[redacted]"),
                            Not(HasSubstr("example.com")), Not(HasSubstr("deep")),
                            Not(HasSubstr("unlisted"))));
  ASSERT_EQ(headers.size(), 1u);
  ASSERT_EQ(headers[0].ops.size(), 1u);
  EXPECT_EQ(headers[0].ops[0].project, "p");
}

TEST_F(OperationsTest, AdminIsForThisMachineOrItsKey) {
  config_.allowed_hosts = {"weft.example.com"};
  Start();
  EXPECT_THAT(Send("GET", "/admin/status").body,
              AllOf(HasSubstr("\"receivers\""), HasSubstr("\"log\""), HasSubstr("\"version\"")));
  EXPECT_EQ(Send("GET", "/admin/status", "", "", "Origin: http://evil.example").status, 403);
  const std::string proxied = "Host: weft.example.com";
  EXPECT_EQ(Send("GET", "/sessions", "", "", proxied).status, 200);
  EXPECT_EQ(Send("GET", "/admin/status", "", "", proxied).status, 403);
  int reloads = 0;
  collector_->OnReloadRequest([&reloads] {
    return ++reloads == 1 ? absl::OkStatus() : absl::FailedPreconditionError("weft.yaml:1: no");
  });
  EXPECT_EQ(Send("POST", "/admin/reload", "{}").status, 200);
  const IncomingReply refused = Send("POST", "/admin/reload", "{}");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("weft.yaml:1"));
  EXPECT_EQ(Send("GET", "/admin/reload").status, 405);
  EXPECT_EQ(reloads, 2);
  NamedKey ops{"ops", "o"};
  ops.admin = true;
  config_.keys = {ops, {"other", "x"}};
  ASSERT_TRUE(collector_->Reload(config_).ok());
  EXPECT_EQ(Send("GET", "/admin/status").status, 401);
  EXPECT_EQ(Send("GET", "/admin/status", "", "x").status, 403);
  EXPECT_EQ(Send("GET", "/admin/status", "", "o").status, 200);
}

TEST_F(OperationsTest, AReloadTakesAllOrNothing) {
  config_.keys = {{"one", "first"}};
  config_.redaction.presets = {RedactionPreset::kEmail};
  Start();
  CollectorConfig wrong = config_;
  wrong.keys = {{"two", "second"}};
  wrong.redaction.rules = {{{.name = "broken", .value = "("}, {}, {}}};
  EXPECT_FALSE(collector_->Reload(wrong).ok());
  EXPECT_FALSE(collector_->Reload(absl::FailedPreconditionError("weft.yaml:3: x")).ok());
  EXPECT_EQ(Send("GET", "/sessions", "", "first").status, 200);
  CollectorConfig tls = config_;
  tls.tls = WriteTls("server", TestIssuer("issuer").Issue("server"));
  EXPECT_FALSE(collector_->Reload(tls).ok());
  wrong.redaction.rules.clear();
  EXPECT_TRUE(collector_->Reload(wrong).ok());
  EXPECT_EQ(Send("GET", "/sessions", "", "first").status, 401);
  EXPECT_EQ(Send("GET", "/sessions", "", "second").status, 200);
  EXPECT_THAT(collector_->Metrics(),
              HasSubstr("weft_config_reloads_total{result=\"refused\"} 3\n"));
}

TEST_F(OperationsTest, ReloadsUnderLoadRefuseNobodyAndLoseNothing) {
  constexpr int kClients = 3;
  constexpr int kRequests = 60;
  config_.keys = {{"one", "first"}};
  Start();
  CollectorConfig other = config_;
  other.keys.push_back({"two", "second"});
  other.redaction.presets = {RedactionPreset::kEmail};
  CollectorConfig broken = other;
  broken.keys.clear();
  broken.redaction.rules = {{{.name = "broken", .value = "("}, {}, {}}};
  std::atomic<int> accepted{0};
  std::atomic<int> running{kClients};
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      HttpClient client;
      for (int j = 0; j < kRequests; ++j) {
        accepted += Send(client, "POST", "/runs", RunJson(R"("inputs":{})"), "first").status == 202;
      }
      --running;
    });
  }
  while (running > 0) {
    EXPECT_TRUE(collector_->Reload(other).ok());
    EXPECT_FALSE(collector_->Reload(broken).ok());
    EXPECT_TRUE(collector_->Reload(config_).ok());
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(accepted, kClients * kRequests);
  std::vector<RecordHeader> headers;
  Logged(&headers);
  EXPECT_EQ(headers.size(), static_cast<std::size_t>(kClients * kRequests));
}

TEST_F(OperationsTest, AStopWaitsForDestinationsAsLongAsItIsTold) {
  const std::filesystem::path file = directory_.path() / "runs.jsonl";
  config_.forward = {{DestinationConfig::Kind::kFile, file.string(), ""}};
  config_.drain = seconds(30);
  Start();
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(Send("POST", "/runs", RunJson(R"("inputs":{})")).status, 202);
  }
  collector_->Stop();
  std::ifstream in(file);
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(in), {}, '\n'), 20);
}

TEST_F(OperationsTest, ATraceTakesAsManyRunsAsItMayAndTheOthersAreParked) {
  constexpr int kRuns = 25'000, kBatch = 1'000, kMore = 5;
  Start();
  const std::string trace = IdOf(1).ToString();
  const auto send = [&](int first, int count) {
    std::string body = "{\"post\":[";
    for (int i = first; i < first + count; ++i) {
      const std::string id = IdOf(static_cast<std::uint64_t>(i) + 1).ToString();
      const std::string part = "20260910T002640000000Z";
      body += (i > first ? "," : "") + std::string("{\"id\":\"") + id + "\",\"trace_id\":\"" +
              trace + "\",\"name\":\"n\",\"run_type\":\"chain\",\"dotted_order\":\"" + part +
              trace +
              (i == 0 ? "\"}" : "." + part + id + "\",\"parent_run_id\":\"" + trace + "\"}");
    }
    EXPECT_EQ(Send("POST", "/runs/batch", body + "]}").status, 202);
  };
  for (int first = 0; first < kRuns; first += kBatch) send(first, kBatch);
  Send("GET", "/sessions");  // what is asked for is indexed before
  EXPECT_THAT(collector_->Metrics(),
              HasSubstr("weft_parked_runs_total{receiver=\"langsmith\"} 0\n"));
  send(kRuns, kMore);
  send(kRuns - 1, 1);  // one of them, again
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_received_runs_total{receiver=\"langsmith\"} 25006\n"),
                    HasSubstr("weft_logged_runs_total{receiver=\"langsmith\"} 25001\n"),
                    HasSubstr("weft_parked_runs_total{receiver=\"langsmith\"} 5\n")));
  const IncomingReply parked = Send("GET", "/admin/parked");
  EXPECT_THAT(parked.body, HasSubstr("its trace has as many runs as a trace may have"));
}

class OpenRunTest : public OperationsTest {
 protected:
  // To a receiver that is not there.
  void StartWithAnOpenRun() {
    config_.forward = {{DestinationConfig::Kind::kOtlp, "grpc://127.0.0.1:1", ""}};
    Start();
    ASSERT_EQ(
        Send("POST", "/runs", RunJson(R"("start_time":"2026-09-10T00:26:40.000000Z")")).status,
        202);
  }

  void AwaitMetric(const std::string& line) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(30);
    while (!HasMetric(line) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_THAT(collector_->Metrics(), HasSubstr(line));
  }

 private:
  bool HasMetric(const std::string& line) const {
    return collector_->Metrics().find(line) != std::string::npos;
  }
};

TEST_F(OpenRunTest, AStopDoesNotWaitForItsEnd) {
  config_.drain = seconds(3600);
  StartWithAnOpenRun();
  AwaitMetric("weft_dest_open_runs{dest=\"otlp=grpc://127.0.0.1:1\"} 1\n");
  EXPECT_THAT(collector_->Metrics(),
              AllOf(HasSubstr("weft_dest_lag_runs{dest=\"otlp=grpc://127.0.0.1:1\"} 1\n"),
                    HasSubstr("weft_dest_lag_seconds{dest=\"otlp=grpc://127.0.0.1:1\"} 0\n")));
  EXPECT_THAT(collector_->Metrics(),
              HasSubstr("weft_traces_open{dest=\"otlp=grpc://127.0.0.1:1\"} 1\n"));
  collector_->Stop();
}

TEST_F(OpenRunTest, IsSentUnfinishedWhenItIsOpenForLong) {
  config_.forwarding.max_open = seconds(1);
  StartWithAnOpenRun();
  AwaitMetric("weft_dest_errors_total{dest=\"otlp=grpc://127.0.0.1:1\",code=\"UNAVAILABLE\"}");
}

}  // namespace
}  // namespace weft::collector
