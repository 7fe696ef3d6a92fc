// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/http_server.h>

#include <zlib.h>
#include <zstd.h>

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http_test_util.h"

namespace weft::collector {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr std::string_view kId = "01a0b35e-7a0d-7000-8000-00000000000d";
constexpr std::string_view kRun =
    R"({"id":"01a0b35e-7a0d-7000-8000-00000000000d","name":"root","run_type":"chain",)"
    R"("trace_id":"01a0b35e-7a0d-7000-8000-00000000000d",)"
    R"("dotted_order":"20260910T002640013001Z01a0b35e-7a0d-7000-8000-00000000000d"})";
const Headers kJson = {{"Content-Type", "application/json"}};

std::string Form(std::string_view run = kRun) {
  return "--B\r\nContent-Disposition: form-data; name=\"post." + std::string(kId) +
         "\"\r\nContent-Type: application/json\r\n\r\n" + std::string(run) + "\r\n--B--\r\n";
}

Headers FormHeaders(std::string_view coding = "") {
  Headers headers = {{"Content-Type", "multipart/form-data; boundary=B"}};
  if (!coding.empty()) headers.emplace_back("Content-Encoding", coding);
  return headers;
}

std::string Zstd(std::string_view text, int level = 1) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), level));
  return out;
}

std::string Zlib(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

class HttpServerTest : public ::testing::Test {
 protected:
  void Start() {
    options_.address = "127.0.0.1:0";
    services_.ingest = &ingest_;
    auto server = HttpServer::Start(options_, services_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }
  HttpResponse Get(std::string_view target, const Headers& headers = {},
                   std::string_view host = "localhost") {
    return Fetch(address_, "GET", target, headers, {}, host);
  }
  HttpResponse Post(std::string_view target, const Headers& headers, std::string_view body) {
    return Fetch(address_, "POST", target, headers, body);
  }
  void ExpectStillServes() { EXPECT_EQ(Post("/runs", kJson, kRun).status, 202); }

  FakeIngest ingest_;
  HttpServerOptions options_;
  HttpServices services_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(HttpServerTest, NamesTheAddressThatIsInUse) {
  Start();
  options_.address = address_;
  const auto second = HttpServer::Start(options_, services_);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address_));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST_F(HttpServerTest, AnswersInfoWithTheWholeConfiguration) {
  Start();
  const HttpResponse info = Get("/info");
  EXPECT_EQ(info.status, 200);
  for (const char* part :
       {R"("size_limit":100)", R"("size_limit_bytes":20971520)", R"("scale_up_nthreads_limit":16)",
        R"("scale_up_qsize_trigger":1000)", R"("use_multipart_endpoint":true)",
        R"("gzip_body_enabled":true)", R"("zstd_compression_enabled":true)"}) {
    EXPECT_THAT(info.body, HasSubstr(part));
  }
}

TEST_F(HttpServerTest, TakesPathsWithPrefixDoubledAndTrailingSlashes) {
  Start();
  for (const char* path : {"/info", "/api/v1/info", "//info", "/api/v1//info/", "/info?x=1"}) {
    EXPECT_EQ(Get(path).status, 200) << path;
  }
  for (const char* path : {"/runs", "/api/v1/runs", "/api/v1/runs/"}) {
    EXPECT_EQ(Post(path, kJson, kRun).status, 202) << path;
  }
  EXPECT_EQ(Get("/nothing").status, 404);
  EXPECT_EQ(Get("/api/v2/info").status, 404);
}

TEST_F(HttpServerTest, NamesTheMethodsOfAPath) {
  Start();
  const HttpResponse response = Fetch(address_, "DELETE", "/runs/multipart");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.at("allow"), "POST");
  EXPECT_EQ(Fetch(address_, "HEAD", "/live").status, 200);
}

TEST_F(HttpServerTest, AnswersOnlyAfterIngestSaysDurable) {
  Start();
  ingest_.Hold();
  HttpClient client(address_);
  client.Send(RequestText("POST", "/runs/multipart", FormHeaders(), Form()));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  EXPECT_EQ(Get("/live").status, 200);  // Nothing is blocked meanwhile.
  ingest_.Release();
  EXPECT_EQ(client.Read().status, 202);
}

TEST_F(HttpServerTest, ServesRequestsOfOneConnectionInOrder) {
  Start();
  HttpClient client(address_);
  client.Send(RequestText("POST", "/runs/multipart", FormHeaders(), Form()) +
              RequestText("GET", "/live", {}) + RequestText("POST", "/runs", kJson, kRun) +
              RequestText("GET", "/nothing", {}));
  EXPECT_EQ(client.Read().status, 202);
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_EQ(client.Read().status, 202);
  EXPECT_EQ(client.Read().status, 404);
  EXPECT_THAT(ingest_.TakeBatches(), SizeIs(2));
}

TEST_F(HttpServerTest, ReadsChunkedBodies) {
  Start();
  HttpClient client(address_);
  std::string text =
      "POST /runs/multipart HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: multipart/form-data; boundary=B\r\n\r\n";
  const std::string body = Form();
  for (std::size_t at = 0; at < body.size(); at += 7) {
    const std::string piece = body.substr(at, 7);
    text += std::to_string(piece.size()) + ";x=y\r\n" + piece + "\r\n";
  }
  text += "0\r\n\r\n" + RequestText("GET", "/live", {});
  client.Send(text);
  EXPECT_EQ(client.Read().status, 202);
  EXPECT_EQ(client.Read().status, 200);
  const auto batches = ingest_.TakeBatches();
  ASSERT_THAT(batches, SizeIs(1));
  EXPECT_EQ(batches[0].payload, body);
}

TEST_F(HttpServerTest, AsksForTheBodyThatAClientHoldsBack) {
  Start();
  HttpClient client(address_);
  Headers headers = FormHeaders();
  headers.emplace_back("Expect", "100-continue");
  headers.emplace_back("Content-Length", std::to_string(Form().size()));
  client.Send(RequestText("POST", "/runs/multipart", headers));
  EXPECT_EQ(client.Read().status, 100);
  client.Send(Form());
  EXPECT_EQ(client.Read().status, 202);
}

TEST_F(HttpServerTest, TakesEveryCodingAndKeepsZstdAsItCame) {
  Start();
  const std::string big = Form(std::string(kRun.substr(0, kRun.size() - 1)) + R"(,"x":")" +
                               std::string(5000, 'x') + "\"}");
  const std::string zstd = Zstd(big);
  for (const auto& [coding, body] : std::vector<std::pair<std::string, std::string>>{
           {"", big},
           {"identity", big},
           {"gzip", Zlib(big, 15 + 16)},
           {"gzip", Zlib(big.substr(0, 99), 31) + Zlib(big.substr(99), 31)},
           {"deflate", Zlib(big, 15)},
           {"deflate", Zlib(big, -15)},
           {"ZSTD", zstd},
           {"zstd", Zstd(big.substr(0, 99)) + Zstd(big.substr(99))}}) {
    EXPECT_EQ(Post("/runs/multipart", FormHeaders(coding), body).status, 202) << coding;
    const auto batches = ingest_.TakeBatches();
    ASSERT_THAT(batches, SizeIs(1)) << coding;
    EXPECT_EQ(batches[0].header.coding, PayloadCoding::kZstd);
    EXPECT_EQ(batches[0].header.decoded_size, big.size());
    EXPECT_TRUE(body != zstd || batches[0].payload == zstd);
  }
}

TEST_F(HttpServerTest, RefusesDamagedBodiesAndGoesOn) {
  Start();
  for (const auto& [coding, body] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", "no gzip"},
                                                        {"gzip", Zlib(Form(), 31).substr(0, 60)},
                                                        {"deflate", "\x01\x02\x03\x04"},
                                                        {"zstd", "no zstd"},
                                                        {"zstd", Zstd(Form()).substr(0, 60)},
                                                        {"zstd", Zstd(Form()) + "rest"},
                                                        {"", "nothing"},
                                                        {"", Form().substr(0, 150)},
                                                        {"", "--B\r\n\r\n\r\n--B--"},
                                                        {"", Form("{\"id\":")}}) {
    EXPECT_EQ(Post("/runs/multipart", FormHeaders(coding), body).status, 400) << body;
  }
  EXPECT_EQ(Post("/runs/batch", kJson, R"({"post":[)").status, 400);
  EXPECT_EQ(Post("/runs/batch", kJson, "[]").status, 400);
  EXPECT_EQ(Post("/runs", kJson, "17").status, 400);
  EXPECT_EQ(Fetch(address_, "PATCH", "/runs/no-uuid", kJson, kRun).status, 400);
  ExpectStillServes();
  EXPECT_THAT(ingest_.refused(), Contains("unreadable"));
}

TEST_F(HttpServerTest, StopsInflatingAtTheLimit) {
  options_.max_decoded_bytes = 1 << 20;
  Start();
  const std::string bomb(64 << 20, 'a');
  for (const auto& [coding, body] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", Zlib(bomb, 31)},
                                                        {"deflate", Zlib(bomb, 15)},
                                                        {"zstd", Zstd(bomb)},
                                                        {"", std::string((1 << 20) + 1, 'a')}}) {
    const HttpResponse response = Post("/runs/multipart", FormHeaders(coding), body);
    EXPECT_EQ(response.status, 413) << coding;
    EXPECT_THAT(response.headers, Not(Contains(Pair("retry-after", ::testing::_))));
  }
  ExpectStillServes();
}

TEST_F(HttpServerTest, RefusesBodiesThatAreTooLargeOnTheWire) {
  options_.max_wire_bytes = 100'000;
  Start();
  const std::string large(200'000, 'x');
  EXPECT_EQ(Post("/runs/multipart", FormHeaders(), large).status, 413);
  HttpClient chunked(address_);
  std::string text =
      "POST /runs/multipart HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: multipart/form-data; boundary=B\r\n\r\n30d40\r\n" +
      large + "\r\n0\r\n\r\n";
  chunked.Send(text);
  const HttpResponse response = chunked.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.headers.at("connection"), "close");
  ExpectStillServes();
}

TEST_F(HttpServerTest, NamesTypesAndCodingsItDoesNotKnow) {
  Start();
  const HttpResponse coding = Post("/runs/multipart", FormHeaders("br"), Form());
  EXPECT_EQ(coding.status, 415);
  EXPECT_THAT(coding.body, HasSubstr("'br'"));
  const HttpResponse type = Post("/runs/multipart", {{"Content-Type", "text/plain"}}, Form());
  EXPECT_EQ(type.status, 415);
  EXPECT_THAT(type.body, HasSubstr("text/plain"));
  EXPECT_EQ(Post("/runs/batch", {{"Content-Type", "application/xml"}}, "<a/>").status, 415);
  EXPECT_EQ(Post("/runs/multipart", {{"Content-Type", "multipart/form-data"}}, Form()).status, 400);
}

TEST_F(HttpServerTest, RefusesWithRetryAfterWhenTheBudgetIsUsedUp) {
  options_.max_inflight_bytes = 1000;
  Start();
  ingest_.Hold();
  HttpClient first(address_);
  first.Send(RequestText("POST", "/runs/multipart", FormHeaders(), Form()));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  const std::string body(900, 'x');
  const HttpResponse refused = Post("/runs/multipart", FormHeaders(), body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.headers, Contains(Pair("retry-after", ::testing::_)));
  ingest_.Release();
  EXPECT_EQ(first.Read().status, 202);
  EXPECT_EQ(Post("/runs/multipart", FormHeaders(), body).status, 400);  // Read again.
  EXPECT_EQ(server_->stats().inflight_bytes, 0u);
}

TEST_F(HttpServerTest, PassesTheLogsRefusalOn) {
  Start();
  for (const absl::Status& status :
       {absl::UnavailableError("disk low"), absl::ResourceExhaustedError("too much pending")}) {
    ingest_.AnswerWith(status);
    const HttpResponse response = Post("/runs", kJson, kRun);
    EXPECT_EQ(response.status, 503);
    EXPECT_THAT(response.body, HasSubstr(std::string(status.message())));
    const int after = std::stoi(response.headers.at("retry-after"));
    EXPECT_TRUE(after >= 1 && after <= 5) << after;
  }
}

TEST_F(HttpServerTest, KeepsValidRunsBesideInvalidOnes) {
  Start();
  const std::string body = R"({"post":[)" + std::string(kRun) + R"(,{"id":"nonsense"},7]})";
  const HttpResponse response = Post("/runs/batch", kJson, body);
  EXPECT_EQ(response.status, 202);
  EXPECT_THAT(response.body, HasSubstr("post[1]: id"));
  const auto batches = ingest_.TakeBatches();
  ASSERT_THAT(batches, SizeIs(1));
  EXPECT_THAT(batches[0].header.ops, SizeIs(1));
  ASSERT_THAT(batches[0].rejected, SizeIs(2));
  EXPECT_EQ(batches[0].rejected[0].index, 1u);
  EXPECT_EQ(batches[0].rejected[0].bytes, R"({"id":"nonsense"})");
}

struct HostCase {
  const char* host;
  bool allowed;
};

TEST_F(HttpServerTest, AnswersOnlyUnderItsOwnNames) {
  options_.allowed_hosts = {"traces.example.com", "other.example.com:8080"};
  Start();
  for (const HostCase& c : std::vector<HostCase>{{"localhost", true},
                                                 {"LOCALHOST:1984", true},
                                                 {"127.0.0.1", true},
                                                 {"127.1.2.3:99", true},
                                                 {"[::1]:1984", true},
                                                 {"traces.example.com", true},
                                                 {"Traces.Example.com:443", true},
                                                 {"other.example.com:8080", true},
                                                 {"other.example.com", false},
                                                 {"evil.example.com", false},
                                                 {"localhost.evil.example.com", false},
                                                 {"127.0.0.1.evil.example.com", false},
                                                 {"192.168.1.1", false},
                                                 {"localhost@evil.example.com", false}}) {
    EXPECT_EQ(Get("/info", {}, c.host).status, c.allowed ? 200 : 403) << c.host;
    EXPECT_EQ(Get("/live", {}, c.host).status, 200) << c.host;
    EXPECT_EQ(Get("/ready", {}, c.host).status, 200) << c.host;
    EXPECT_EQ(Get("/metrics", {}, c.host).status, 200) << c.host;
  }
  EXPECT_EQ(Get("/info", {}, "").status, 400);
  server_->SetAllowedHosts({"new.example.com"});
  EXPECT_EQ(Get("/info", {}, "new.example.com").status, 200);
  EXPECT_EQ(Get("/info", {}, "traces.example.com").status, 403);
}

TEST_F(HttpServerTest, SaysThatAListenerWithoutIngestReceivesNothing) {
  options_.address = "127.0.0.1:0";
  server_ = *HttpServer::Start(options_, {});
  address_ = server_->address();
  const HttpResponse response = Post("/v1/traces", kJson, "{}");
  EXPECT_EQ(response.status, 501);
  EXPECT_THAT(response.body, HasSubstr("OTLP"));
  EXPECT_EQ(Get("/ready").status, 200);
}

TEST_F(HttpServerTest, RefusesRequestsOfOtherSitesPages) {
  options_.allowed_hosts = {"traces.example.com"};
  Start();
  const auto status = [&](const char* origin, const char* host) {
    const HttpResponse response =
        Fetch(address_, "POST", "/runs", {{"Content-Type", "application/json"}, {"Origin", origin}},
              kRun, host);
    EXPECT_THAT(response.headers, Not(Contains(Pair("access-control-allow-origin", ::testing::_))));
    return response.status;
  };
  EXPECT_EQ(status("http://localhost:1984", "localhost:1984"), 202);
  EXPECT_EQ(status("http://LOCALHOST:1984", "localhost:1984"), 202);
  EXPECT_EQ(status("https://traces.example.com", "traces.example.com"), 202);
  EXPECT_EQ(status("http://localhost:3000", "localhost:1984"), 403);
  EXPECT_EQ(status("https://localhost:1984", "localhost:1984"), 403);
  EXPECT_EQ(status("http://evil.example.com", "localhost:1984"), 403);
  EXPECT_EQ(status("null", "localhost"), 403);
  EXPECT_EQ(status("", "localhost"), 403);
  EXPECT_EQ(Get("/metrics", {{"Origin", "http://evil.example.com"}}).status, 403);
  EXPECT_EQ(Get("/metrics", {{"Origin", "http://evil.example.com"}}, "evil.example.com").status,
            403);
  EXPECT_EQ(Fetch(address_, "OPTIONS", "/runs", {{"Origin", "http://evil.example.com"}}).status,
            403);
}

TEST_F(HttpServerTest, AsksForKeysWhereTheyAreConfigured) {
  services_.accepts_key = [](std::string_view key) { return key == "right"; };
  Start();
  for (const char* path : {"/live", "/ready", "/metrics", "/info"}) {
    EXPECT_EQ(Get(path).status, 200) << path;
  }
  for (const char* path : {"/", "/sessions", "/runs/x", "/nothing"}) {
    EXPECT_EQ(Get(path).status, 401) << path;
  }
  EXPECT_EQ(Post("/runs", kJson, kRun).status, 401);
  const auto with = [&](const char* name, const char* value) {
    return Post("/runs", {{"Content-Type", "application/json"}, {name, value}}, kRun).status;
  };
  EXPECT_EQ(with("x-api-key", "wrong"), 401);
  EXPECT_EQ(with("X-API-Key", "right"), 202);
  EXPECT_EQ(with("Authorization", "Bearer right"), 202);
  const auto batches = ingest_.TakeBatches();
  ASSERT_THAT(batches, SizeIs(2));
  EXPECT_EQ(batches[0].api_key, "right");
}

TEST_F(HttpServerTest, RefusesWhatAProxyCouldReadInAnotherWay) {
  Start();
  const auto status = [&](std::string_view header_lines, std::string_view rest = {}) {
    HttpClient client(address_);
    client.Send("POST /runs HTTP/1.1\r\n" + std::string(header_lines) + "\r\n" + std::string(rest));
    client.EndSending();
    return client.Read().status;
  };
  EXPECT_EQ(status("Host: localhost\r\nHost: localhost\r\n"), 400);
  EXPECT_EQ(status("Host: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{}"), 400);
  EXPECT_EQ(status("Host: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", "{}"),
            400);
  EXPECT_EQ(status("Host: localhost\r\nTransfer-Encoding: gzip\r\n", "{}"), 400);
  EXPECT_EQ(status("Host: localhost\r\nTransfer-Encoding: chunked\r\n", "zz\r\n"), 400);
  EXPECT_EQ(status("Host: localhost\r\nContent-Length: +2\r\n", "{}"), 400);
  EXPECT_EQ(status("Host: localhost\r\nx-api-key: a\r\nx-api-key: b\r\n"), 400);
  EXPECT_EQ(status("Host : localhost\r\n"), 400);
  EXPECT_EQ(status("Host: localhost\r\nExpect: miracles\r\nContent-Length: 2\r\n", "{}"), 417);
  EXPECT_EQ(status("Host: localhost\r\nX: " + std::string(70'000, 'x') + "\r\n"), 431);
  ExpectStillServes();
}

TEST_F(HttpServerTest, ClosesSlowAndIdleConnections) {
  options_.header_timeout = options_.body_grace = options_.idle_timeout =
      std::chrono::milliseconds(50);
  Start();
  HttpClient idle(address_), header(address_), body(address_);
  header.Send("GET /live HTTP/1.1\r\nHost: local");
  body.Send("POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_TRUE(idle.IsClosed());
  EXPECT_TRUE(header.IsClosed());
  EXPECT_TRUE(body.IsClosed());
  // Counted just after the connection is closed.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (server_->stats().timeouts < 3 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_->stats().timeouts, 3u);
}

TEST_F(HttpServerTest, ForgetsBodiesThatNeverCome) {
  Start();
  {
    HttpClient client(address_);
    client.Send("POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{");
    client.EndSending();
    EXPECT_TRUE(client.IsClosed());
  }
  EXPECT_EQ(server_->stats().inflight_bytes, 0u);
  ExpectStillServes();
}

TEST_F(HttpServerTest, RefusesEarlyWithoutReadingTheRest) {
  Start();
  HttpClient client(address_);
  client.Send(
      "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000000\r\n\r\nonly this");
  const HttpResponse response = client.Read();
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.at("connection"), "close");
  // A short body does not cost the connection.
  HttpClient short_body(address_);
  short_body.Send(RequestText("POST", "/nothing", kJson, kRun) + RequestText("GET", "/live", {}));
  EXPECT_EQ(short_body.Read().status, 404);
  EXPECT_EQ(short_body.Read().status, 200);
}

TEST_F(HttpServerTest, SaysWhyItIsNotReady) {
  services_.ready = [] { return absl::UnavailableError("replaying the log"); };
  services_.metrics = [] { return std::string("weft_up 1\n"); };
  Start();
  const HttpResponse ready = Get("/ready");
  EXPECT_EQ(ready.status, 503);
  EXPECT_THAT(ready.body, HasSubstr("replaying the log"));
  EXPECT_THAT(ready.headers, Contains(Pair("retry-after", ::testing::_)));
  EXPECT_EQ(Get("/live").status, 200);
  EXPECT_EQ(Get("/metrics").body, "weft_up 1\n");
}

TEST_F(HttpServerTest, ShowsAPageToABrowserUnderAStrictPolicy) {
  Start();
  const HttpResponse page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.headers.at("content-type"), HasSubstr("text/html"));
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'"));
}

TEST_F(HttpServerTest, AnswersRequestsInFlightBeforeItStops) {
  Start();
  ingest_.Hold();
  HttpClient busy(address_), idle(address_);
  busy.Send(RequestText("POST", "/runs", kJson, kRun));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  auto stopped = std::async(std::launch::async, [&] { server_->Stop(std::chrono::seconds(30)); });
  EXPECT_TRUE(idle.IsClosed());
  ingest_.Release();
  const HttpResponse response = busy.Read();
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.headers.at("connection"), "close");
  stopped.get();
  EXPECT_FALSE(HttpClient(address_).connected());
}

TEST_F(HttpServerTest, OutlivesAnswersThatComeAfterItsEnd) {
  Start();
  ingest_.Hold();
  HttpClient client(address_);
  client.Send(RequestText("POST", "/runs", kJson, kRun));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  server_.reset();
  ingest_.Release();
  EXPECT_EQ(client.Read().status, 0);
}

TEST_F(HttpServerTest, ServesManyConnectionsAtOnce) {
  Start();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(std::make_unique<HttpClient>(address_));
  for (int round = 0; round < 3; ++round) {
    for (auto& client : clients) {
      client->Send(RequestText("POST", "/runs/multipart", FormHeaders("zstd"), Zstd(Form())));
    }
    for (auto& client : clients) EXPECT_EQ(client->Read().status, 202);
  }
  EXPECT_THAT(ingest_.TakeBatches(), SizeIs(600));
}

}  // namespace
}  // namespace weft::collector
