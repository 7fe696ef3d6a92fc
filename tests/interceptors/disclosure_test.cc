// SPDX-License-Identifier: Apache-2.0
// What a client tells the servers that it calls, and how much of it fits.
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/forward_metadata.h>
#include <weft/testing/run_tree.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracing_context.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::Combine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::Values;

using Metadata = std::multimap<std::string, std::string>;

constexpr char kTheirParent[] = "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001";
constexpr std::size_t kPairOverhead = 32;

class DisclosureTest : public EchoTest {
 protected:
  void Serve(TracingOptions client) {
    EchoTest::Serve(Flavour::kSync, {.tracer = tracer_, .middlewares = {received_}},
                    {.tracer = tracer_, .tracing = std::move(client)});
  }
  grpc::Status Call(const Metadata& metadata = {}) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    return CallSync(RpcKind::kUnary, channel_, context);
  }
  std::size_t Sent(const char* key) const { return received_->Last(key).size(); }

  std::shared_ptr<ReceivedMetadata> received_ = std::make_shared<ReceivedMetadata>();
};

class DisclosureApis : public DisclosureTest,
                       public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind, bool>> {
 protected:
  // Makes a call below a run that has much to tell.
  void CallWith(Disclosure disclosure) {
    const auto& [api, kind, client_runs] = GetParam();
    Serve({.client_runs = client_runs,
           .propagation = Propagation::kBoth,
           .disclosure = {.otherwise = disclosure}});
    const TracingContext context({.baggage = {{"tenant", "blue"}}});
    const weft::Run caller("caller",
                           {.tags = {"canary"}, .metadata = {{"user", "u-1"}}, .tracer = tracer_});
    grpc::ClientContext rpc;
    EXPECT_TRUE(CallEcho(api, kind, channel_, rpc).ok());
  }
};

TEST_P(DisclosureApis, AllIsTold) {
  CallWith(Disclosure::kAll);
  EXPECT_EQ(Sent("langsmith-trace"), 1u);
  EXPECT_EQ(Sent("traceparent"), 1u);
  ASSERT_THAT(received_->Last("baggage"), SizeIs(1));
  EXPECT_THAT(received_->Last("baggage")[0], HasSubstr("tenant=blue"));
}

TEST_P(DisclosureApis, IdsAloneAreTold) {
  CallWith(Disclosure::kIds);
  EXPECT_EQ(Sent("langsmith-trace"), 1u);
  EXPECT_EQ(Sent("traceparent"), 1u);
  EXPECT_EQ(Sent("tracestate"), 0u);
  EXPECT_EQ(Sent("baggage"), 0u);
  channel_.reset();
  server_->Shutdown();
  EXPECT_THAT(exporter_->Tree().Roots(), SizeIs(1)) << exporter_->Tree();
}

TEST_P(DisclosureApis, NothingIsTold) {
  CallWith(Disclosure::kNone);
  for (const char* header : {"langsmith-trace", "baggage", "traceparent", "tracestate"}) {
    EXPECT_EQ(Sent(header), 0u) << header;
  }
  channel_.reset();
  server_->Shutdown();
  EXPECT_THAT(exporter_->Tree().Roots(), SizeIs(2)) << exporter_->Tree();
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<ClientApi, RpcKind, bool>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param))
       << (std::get<2>(param.param) ? "_run" : "_headers");
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, DisclosureApis,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 Values(RpcKind::kUnary, RpcKind::kClientStream,
                                        RpcKind::kServerStream, RpcKind::kBidiStream),
                                 ::testing::Bool()),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Generic, DisclosureApis,
                         Combine(Values(ClientApi::kGenericCq), Values(RpcKind::kUnary),
                                 ::testing::Bool()),
                         NameOf);

// A proxy that sends on all that it received tells no more than its rules allow.
TEST_F(DisclosureTest, WhatTheApplicationWroteForLangSmithIsNotToldEither) {
  const Metadata theirs = {{"langsmith-trace", kTheirParent},
                           {"baggage", "langsmith-project=p,tenant=blue;a=b"},
                           {"baggage", "langsmith-tags=t"},
                           {"x-other", "stays"}};
  for (const bool client_runs : {true, false}) {
    SCOPED_TRACE(client_runs);
    Serve({.client_runs = client_runs, .disclosure = {.otherwise = Disclosure::kNone}});
    ASSERT_TRUE(Call(theirs).ok());
    EXPECT_EQ(Sent("langsmith-trace"), 0u);
    EXPECT_THAT(received_->Last("baggage"), ElementsAre("tenant=blue;a=b"));
    EXPECT_THAT(received_->Last("x-other"), ElementsAre("stays"));
    ASSERT_TRUE(Call({{"baggage", "langsmith-project=p"}}).ok());
    EXPECT_EQ(Sent("baggage"), 0u);

    Serve({.client_runs = client_runs, .disclosure = {.otherwise = Disclosure::kIds}});
    ASSERT_TRUE(Call(theirs).ok());
    ASSERT_EQ(Sent("langsmith-trace"), 1u);
    EXPECT_THAT(received_->Last("langsmith-trace")[0], HasSubstr(kTheirParent));
    EXPECT_THAT(received_->Last("baggage"), ElementsAre("tenant=blue;a=b"));
  }
}

TEST_F(DisclosureTest, NothingToldStillMakesTheClientRun) {
  Serve({.disclosure = {.otherwise = Disclosure::kNone}});
  {
    const weft::Run caller("caller", {.tracer = tracer_});
    ASSERT_TRUE(Call().ok());
  }
  channel_.reset();
  server_->Shutdown();
  EXPECT_THAT(exporter_->Tree().FindRun("caller").Children(), SizeIs(1));
}

TEST_F(DisclosureTest, TheFirstRuleThatTakesTheTargetDecides) {
  Serve({.disclosure = {.rules = {{"*.example.com*", Disclosure::kNone},
                                  {"127.0.0.1:*", Disclosure::kIds},
                                  {"*", Disclosure::kNone}}}});
  const weft::Run caller("caller", {.metadata = {{"user", "u-1"}}, .tracer = tracer_});
  ASSERT_TRUE(Call().ok());
  EXPECT_EQ(Sent("langsmith-trace"), 1u);
  EXPECT_EQ(Sent("baggage"), 0u);
}

TEST(PublicEndpointsTest, AreNamesAndAddressesOutsideOfOnesOwnNetwork) {
  const Selector publics = PublicEndpoints();
  for (const char* target :
       {"api.example.com", "api.example.com:443", "dns:///api.example.com:443",
        "dns:api.example.com", "dns://8.8.8.8/api.example.com:443", "API.Example.COM.",
        "8.8.8.8:443", "ipv4:8.8.8.8:443", "ipv4:8.8.8.8:443,10.0.0.1:443", "[2001:4860::1]:443",
        "ipv6:[2001:4860::1]:443", "ipv6:%5B2001:4860::1%5D:443", "dns:///[2001:4860::1]:443",
        "google-c2p:///bigtable.example.com", "172.32.0.1:1", "unixfarm.example.com:443"}) {
    EXPECT_TRUE(publics.Selects(target)) << target;
  }
  for (const char* target : {"localhost:1",
                             "retriever",
                             "retriever:50051",
                             "dns:///retriever:50051",
                             "127.0.0.1:80",
                             "10.1.2.3:80",
                             "172.31.0.1:1",
                             "192.168.1.1",
                             "169.254.1.1:1",
                             "[::1]:1",
                             "::1",
                             "ipv6:[fe80::1%25eth0]:1",
                             "ipv6:%5Bfd00::1%5D:1",
                             "ipv4:10.0.0.1:1",
                             "unix:/run/a.sock",
                             "unix:///run/a.b.sock",
                             "unix-abstract:a.b",
                             "xds:///api.example.com",
                             "consul://a.b.c/d",
                             "vsock:2:1",
                             "in-process",
                             "db.prod.svc.cluster.local:1",
                             "a.b.internal:1",
                             "dns:///a.b.consul.:1",
                             ""}) {
    EXPECT_FALSE(publics.Selects(target)) << target;
  }
}

TEST_F(DisclosureTest, MessagesTellNothingEither) {
  const std::string name = RunNameOf(RpcKind::kBidiStream);
  const PerMessage per_message{.field = "text"};
  for (const Disclosure disclosure : {Disclosure::kIds, Disclosure::kNone}) {
    exporter_->Clear();
    EchoTest::Serve(
        Flavour::kSync, {.tracer = tracer_, .tracing = {.per_message = per_message}},
        {.tracer = tracer_,
         .tracing = {.per_message = per_message, .disclosure = {.otherwise = disclosure}}});
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context, "").ok());
    channel_.reset();
    server_->Shutdown();
    const auto tree = exporter_->Tree();
    int told = 0;
    for (const auto& received : tree.FindRuns(name + " received")) {
      if (received->AllMetadata().contains("weft_links")) ++told;  // of a trace that is not theirs
      if (received.Parent() && received.Parent()->DisplayName() == name + " sent") ++told;
    }
    EXPECT_EQ(told > 0, disclosure == Disclosure::kIds) << tree;
  }
}

// However much a run has to tell, in a request that has room for it or not: the budget holds, the
// tree stays connected, and what is missing is said.
TEST_F(DisclosureTest, HeadersStayWithinTheirBudgetWhateverThereIsToTell) {
  std::mt19937 random(6);
  const auto text = [&](std::size_t size) { return std::string(size, "%xy/"[random() % 4]); };
  constexpr int kCalls = 80;
  for (int i = 0; i < kCalls; ++i) {
    SCOPED_TRACE(i);
    exporter_->Clear();
    const std::size_t budget = i % 4 == 0 ? 500 + random() % 6000 : 6 * 1024;
    Serve({.propagation = i % 2 == 0 ? Propagation::kLangSmith : Propagation::kBoth,
           .header_budget = budget});
    JsonObject metadata;
    for (auto n = random() % 12; n > 0; --n)
      metadata["k" + std::to_string(n)] = text(random() % 900);
    std::vector<std::string> tags;
    for (auto n = random() % 4; n > 0; --n) tags.push_back(text(1 + random() % 500));
    const auto now = std::chrono::system_clock::now();
    RunContext above = RunContext::Root(RunId::New(now), now, nullptr);
    for (auto n = random() % 130; n > 0; --n) above = above.Child(RunId::New(now), now);
    const std::size_t application = random() % 4000;
    {
      const TracingContext members({.baggage = {{"foreign", text(random() % 2000)}}});
      const weft::Run caller("caller", {.parent = above,
                                        .tags = std::move(tags),
                                        .metadata = std::move(metadata),
                                        .tracer = tracer_});
      ASSERT_TRUE(Call({{"application", std::string(application, 'a')}}).ok());
    }
    ASSERT_EQ(Sent("langsmith-trace"), 1u);
    std::size_t size = 0;
    for (const char* name : {"langsmith-trace", "traceparent", "tracestate", "baggage"}) {
      for (const std::string& value : received_->Last(name)) {
        size += std::string(name).size() + value.size() + kPairOverhead;
      }
    }
    const std::size_t ids = received_->Last("langsmith-trace")[0].size() + 15 + kPairOverhead + 98;
    EXPECT_LE(size, std::max(budget, ids));
    channel_.reset();
    server_->Shutdown();
    const auto tree = exporter_->Tree();
    for (const auto& run : tree.FindRuns(RunNameOf(RpcKind::kUnary))) {
      EXPECT_EQ(run->context.trace_id(), above.trace_id());
    }
  }
}

TEST_F(DisclosureTest, WhatDidNotFitIsSaidOnTheRun) {
  const auto dropped = [&](TracingOptions options, RunOptions run) {
    exporter_->Clear();
    const bool client_run = options.client_runs;
    Serve(std::move(options));
    run.tracer = tracer_;
    {
      const weft::Run caller("caller", std::move(run));
      EXPECT_TRUE(Call().ok());
    }
    channel_.reset();
    server_->Shutdown();
    const auto tree = exporter_->Tree();
    const auto caller = tree.FindRun("caller");
    const auto noted = client_run ? caller.Children().at(0) : caller;
    return noted->AllMetadata().contains("weft_headers_dropped")
               ? std::string(noted->AllMetadata().at("weft_headers_dropped").as_string())
               : std::string();
  };
  const JsonObject much = {{"large", std::string(7000, 'x')}, {"small", 1}};
  const auto now = std::chrono::system_clock::now();
  RunContext deep = RunContext::Root(RunId::New(now), now, nullptr);
  for (int i = 0; i < 60; ++i) deep = deep.Child(RunId::New(now), now);
  for (const bool client_runs : {true, false}) {
    SCOPED_TRACE(client_runs);
    EXPECT_EQ(dropped({.client_runs = client_runs}, {}), "");
    EXPECT_EQ(dropped({.client_runs = client_runs}, {.metadata = much}), "metadata");
    EXPECT_EQ(dropped({.client_runs = client_runs, .header_budget = 2500},
                      {.tags = {std::string(3000, 't')}, .metadata = much}),
              client_runs ? "metadata" : "metadata, tags");  // tags are the run's own
    EXPECT_EQ(dropped({.client_runs = client_runs, .header_budget = 3000}, {.parent = deep}),
              "ancestors");
    EXPECT_EQ(dropped({.client_runs = client_runs, .header_budget = 100},
                      {.metadata = {{"a", 1}}, .project = "p"}),
              "metadata, project");
  }
}

TEST_F(DisclosureTest, WhatAPeerSaysToItsNeighbourAloneIsNotSentOn) {
  for (const bool traced : {true, false}) {
    EchoTest::Serve(
        Flavour::kSync, {.tracer = tracer_, .middlewares = {received_}},
        {.tracer = traced ? tracer_ : nullptr, .middlewares = {ForwardMetadata({"*"})}});
    for (const bool client_runs : {true, false}) {
      if (traced) Serve({.client_runs = client_runs});
      ASSERT_TRUE(Call({{"weft-keep", "1"},
                        {"weft-hops", "3"},
                        {"weft-messages", "1"},
                        {"weft-call", ""},
                        {"x", "y"}})
                      .ok());
      for (const char* header : {"weft-keep", "weft-hops", "weft-messages", "weft-call"}) {
        EXPECT_EQ(Sent(header), 0u) << header;
      }
      EXPECT_EQ(Sent("x"), 1u);
    }
  }
}

}  // namespace
}  // namespace weft::echo_test
