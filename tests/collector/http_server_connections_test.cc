// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/http_server.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "admission.h"
#include "http_server_fixture.h"

namespace weft::collector {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

using HttpServerConnectionsTest = HttpServerFixture;

TEST_F(HttpServerConnectionsTest, NamesTheAddressThatIsInUse) {
  Start();
  options_.address = address_;
  const auto second = HttpServer::Start(options_, services_);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address_));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST_F(HttpServerConnectionsTest, ServesRequestsOfOneConnectionInOrder) {
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

TEST_F(HttpServerConnectionsTest, ClosesSlowAndIdleConnections) {
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

TEST_F(HttpServerConnectionsTest, ForgetsBodiesThatNeverCome) {
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

TEST(TenantBudgetTest, HoldsWhatIsInFlightAndOneRequestOfAnySize) {
  TenantBudget budget("acme", 100);
  EXPECT_TRUE(budget.Reserve(60).ok());
  const absl::Status over = budget.Reserve(50);
  EXPECT_TRUE(absl::IsResourceExhausted(over)) << over;
  EXPECT_GT(RetryAfterOf(over).count(), 0);
  EXPECT_TRUE(budget.Reserve(40).ok());
  budget.Release(100);
  EXPECT_TRUE(budget.Reserve(500).ok());
  EXPECT_TRUE(budget.Reserve(500, 500).ok()) << "the same request grows";
  EXPECT_FALSE(budget.Reserve(1).ok());
}

// Bodies of one that never come keep nobody else from sending.
TEST_F(HttpServerConnectionsTest, ATenantMayHaveOnlySoMuchInFlight) {
  const auto budget = std::make_shared<TenantBudget>("acme", 100'000);
  services_.budget_of = [&](std::string_view key) { return key == "t" ? budget : nullptr; };
  Start();
  const Headers theirs = {{"Content-Type", "application/json"}, {"x-api-key", "t"}};
  {
    HttpClient slow(address_);
    slow.Send(
        "POST /runs HTTP/1.1\r\nHost: localhost\r\nx-api-key: t\r\n"
        "Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_EQ(slow.Read().status, 100);
    const HttpResponse refused = Post("/runs", theirs, kRun);
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_THAT(ingest_.refused(), ::testing::ElementsAre("tenant_in_flight"));
    ExpectStillServes();
    slow.EndSending();
    EXPECT_TRUE(slow.IsClosed());
  }
  EXPECT_EQ(Post("/runs", theirs, kRun).status, 202);
}

TEST_F(HttpServerConnectionsTest, RefusesEarlyWithoutReadingTheRest) {
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

TEST_F(HttpServerConnectionsTest, AnswersRequestsInFlightBeforeItStops) {
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

TEST_F(HttpServerConnectionsTest, OutlivesAnswersThatComeAfterItsEnd) {
  Start();
  ingest_.Hold();
  HttpClient client(address_);
  client.Send(RequestText("POST", "/runs", kJson, kRun));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  server_.reset();
  ingest_.Release();
  EXPECT_EQ(client.Read().status, 0);
}

TEST_F(HttpServerConnectionsTest, ServesManyConnectionsAtOnce) {
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
