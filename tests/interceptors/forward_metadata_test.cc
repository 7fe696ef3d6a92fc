// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/context/context_scope.h>
#include <weft/interceptors/forward_metadata.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class ForwardMetadataTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  /// A call to a server whose handler calls another one, which keeps what it receives.
  void Call(const std::vector<std::string>& names,
            const std::multimap<std::string, std::string>& headers,
            const std::multimap<std::string, std::string>& own = {}) {
    const auto forward = ForwardMetadata(names);
    EchoServer behind(Flavour::kSync, {.middlewares = {received_}});
    const auto to_behind = CreateChannel(behind.address(), grpc::InsecureChannelCredentials(),
                                         {.tracer = client_tracer_, .middlewares = {forward}});
    Serve(GetParam(), {.tracer = tracer_, .middlewares = {forward}}, {});
    server_->progress().during_work = [&] {
      grpc::ClientContext context;
      for (const auto& [key, value] : own) context.AddMetadata(key, value);
      EXPECT_TRUE(CallSync(RpcKind::kUnary, to_behind, context).ok());
    };
    grpc::ClientContext context;
    for (const auto& [key, value] : headers) context.AddMetadata(key, value);
    EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
    server_->Shutdown();
  }

  std::shared_ptr<Tracer> client_tracer_ = tracer_;
  std::shared_ptr<ReceivedMetadata> received_ = std::make_shared<ReceivedMetadata>();
};

TEST_P(ForwardMetadataTest, SendsWhatIsListedAndNothingElse) {
  Call({"x-tenant", "x-request-*"}, {{"x-tenant", "a"},
                                     {"x-tenant", "b"},
                                     {"x-request-id", "7"},
                                     {"x-request-raw-bin", std::string("\0\xff", 2)},
                                     {"x-other", "no"}});
  EXPECT_THAT(received_->Last("x-tenant"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(received_->Last("x-request-id"), ElementsAre("7"));
  EXPECT_THAT(received_->Last("x-request-raw-bin"), ElementsAre(std::string("\0\xff", 2)));
  EXPECT_THAT(received_->Last("x-other"), IsEmpty());
}

TEST_P(ForwardMetadataTest, SendsSecretsOnlyWhenTheyAreNamed) {
  Call({"*"}, {{"authorization", "Bearer s"}, {"cookie", "c"}, {"x-any", "yes"}});
  EXPECT_THAT(received_->Last("x-any"), ElementsAre("yes"));
  EXPECT_THAT(received_->Last("authorization"), IsEmpty());
  EXPECT_THAT(received_->Last("cookie"), IsEmpty());
}

TEST_P(ForwardMetadataTest, SendsANamedSecretWithACallThatHasNoHooks) {
  client_tracer_ = nullptr;
  const InterceptorStats before = GetInterceptorStats();
  Call({"*", "authorization"}, {{"authorization", "Bearer s"}});
  EXPECT_THAT(received_->Last("authorization"), ElementsAre("Bearer s"));
  EXPECT_EQ(GetInterceptorStats().client_started, before.client_started);
}

TEST_P(ForwardMetadataTest, LeavesTheApplicationsOwnHeadersAndTheTracesAlone) {
  // A signal that means nothing, so that the tracing has none to pass on.
  Call({"*"}, {{"x-tenant", "a"}, {"traceparent", "junk"}, {"weft-keep", "2"}},
       {{"x-tenant", "mine"}});
  EXPECT_THAT(received_->Last("x-tenant"), ElementsAre("mine"));
  EXPECT_THAT(received_->Last("traceparent"), IsEmpty());
  EXPECT_THAT(received_->Last("weft-keep"), IsEmpty());
}

TEST_P(ForwardMetadataTest, RemembersABoundedAmount) {
  Call({"x-small", "*"}, {{"a-large", std::string(3000, 'x')}, {"x-small", "s"}});
  EXPECT_THAT(received_->Last("a-large"), IsEmpty());
  EXPECT_THAT(received_->Last("x-small"), ElementsAre("s"));
}

TEST_P(ForwardMetadataTest, SendsOnceWhatTwoNamesList) {
  Call({"x-*", "x-tenant", "baggage"},
       {{"x-tenant", "a"}, {"x-tenant", "b"}, {"x-tenantry", ""}, {"x", "no"}});
  EXPECT_THAT(received_->Last("x-tenant"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(received_->Last("x-tenantry"), ElementsAre(""));
  EXPECT_THAT(received_->Last("x"), IsEmpty());
}

TEST_P(ForwardMetadataTest, SendsManyAndLongHeadersWhole) {
  std::multimap<std::string, std::string> headers;
  std::vector<std::string> names;
  for (const char letter : {'a', 'h', 'k', 'm', 'p', 'r', 's', 't', 'v', 'w', 'x', 'y', 'z'}) {
    names.push_back(std::string("t-") + letter);
    headers.emplace(names.back(), std::string(60, letter));
  }
  Call(names, headers);
  for (const auto& [key, value] : headers) {
    EXPECT_THAT(received_->Last(key), ElementsAre(value)) << key;
  }
}

TEST_P(ForwardMetadataTest, AContextThatOutlivesItsCallHasTheHeaders) {
  const auto forward = ForwardMetadata({"x-*"});
  Serve(GetParam(), {.tracer = tracer_, .middlewares = {forward}}, {});
  Context kept;
  server_->progress().during_work = [&kept] { kept = Context::Current(); };
  grpc::ClientContext context;
  context.AddMetadata("x-tenant", "a");
  context.AddMetadata("x-long", std::string(500, 'l'));
  ASSERT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  channel_.reset();
  server_.reset();

  EchoServer behind(Flavour::kSync, {.middlewares = {received_}});
  const auto to_behind = CreateChannel(behind.address(), grpc::InsecureChannelCredentials(),
                                       {.tracer = client_tracer_, .middlewares = {forward}});
  const ContextScope scope(kept);
  grpc::ClientContext later;
  EXPECT_TRUE(CallSync(RpcKind::kUnary, to_behind, later).ok());
  EXPECT_THAT(received_->Last("x-tenant"), ElementsAre("a"));
  EXPECT_THAT(received_->Last("x-long"), ElementsAre(std::string(500, 'l')));
}

INSTANTIATE_TEST_SUITE_P(All, ForwardMetadataTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace weft::echo_test
