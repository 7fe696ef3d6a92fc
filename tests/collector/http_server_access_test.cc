// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/http_server.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http_server_fixture.h"

namespace weft::collector {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

using HttpServerAccessTest = HttpServerFixture;

TEST_F(HttpServerAccessTest, AnswersInfoWithTheWholeConfiguration) {
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

TEST_F(HttpServerAccessTest, TakesPathsWithPrefixDoubledAndTrailingSlashes) {
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

TEST_F(HttpServerAccessTest, NamesTheMethodsOfAPath) {
  Start();
  const HttpResponse response = Fetch(address_, "DELETE", "/runs/multipart");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.headers.at("allow"), "POST");
  EXPECT_EQ(Fetch(address_, "HEAD", "/live").status, 200);
}

struct HostCase {
  const char* host;
  bool allowed;
};

TEST_F(HttpServerAccessTest, AnswersOnlyUnderItsOwnNames) {
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

TEST_F(HttpServerAccessTest, AListenerForOtlpHasNothingElse) {
  services_.otlp_only = true;
  Start();
  EXPECT_EQ(Post("/v1/traces", kJson, "{}").status, 200);
  EXPECT_EQ(Get("/ready").status, 200);
  const HttpResponse response = Post("/runs", kJson, kRun);
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(response.body, HasSubstr("OTLP"));
}

TEST_F(HttpServerAccessTest, RefusesRequestsOfOtherSitesPages) {
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

TEST_F(HttpServerAccessTest, AsksForKeysWhereTheyAreConfigured) {
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

TEST_F(HttpServerAccessTest, RefusesWhatAProxyCouldReadInAnotherWay) {
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

TEST_F(HttpServerAccessTest, SaysWhyItIsNotReady) {
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

TEST_F(HttpServerAccessTest, ShowsAPageToABrowserUnderAStrictPolicy) {
  Start();
  const HttpResponse page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.headers.at("content-type"), HasSubstr("text/html"));
  EXPECT_THAT(page.headers.at("content-security-policy"), HasSubstr("default-src 'none'"));
}

}  // namespace
}  // namespace weft::collector
