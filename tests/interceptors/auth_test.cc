// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/auth.h>
#include <weft/testing/run_matchers.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using weft::testing::HasMetadata;

using Metadata = std::multimap<std::string, std::string>;

class AuthTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  void Serve(AuthCheck check, AuthOptions options = {}) {
    EchoTest::Serve(GetParam(),
                    {.tracer = tracer_, .middlewares = {Auth(std::move(check), options)}}, {});
    server_->progress().during_work = [this] {
      const Identity* const identity = CurrentIdentity();
      handled_for_.push_back(identity == nullptr ? "" : identity->name);
    };
  }
  grpc::Status Call(const Metadata& metadata = {}, RpcKind kind = RpcKind::kUnary) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    return CallSync(kind, channel_, context);
  }
  grpc::StatusCode Code(const Metadata& metadata = {}) { return Call(metadata).error_code(); }

  std::vector<std::string> handled_for_;  // one call at a time
};

constexpr auto kRefused = grpc::StatusCode::UNAUTHENTICATED;

TEST_P(AuthTest, LetsInWhoHasAKeyAndTellsTheHandlerWhoItIs) {
  Serve(
      ApiKey({{"s3cret", {.name = "billing"}}, {"other", {.name = "shop"}}, {"", {.name = "x"}}}));
  EXPECT_EQ(Code({{"x-api-key", "s3cret"}}), grpc::StatusCode::OK);
  EXPECT_EQ(Code({{"x-api-key", "other"}}), grpc::StatusCode::OK);
  const grpc::Status refused = Call();
  EXPECT_EQ(refused.error_code(), kRefused);
  EXPECT_THAT(refused.error_message(), HasSubstr("x-api-key"));
  for (const char* wrong : {"", "s3cre", "s3crets", "s3crets3cret", "S3CRET"}) {
    EXPECT_EQ(Code({{"x-api-key", wrong}}), kRefused) << wrong;
  }
  EXPECT_EQ(Code({{"x-api-key", "s3cret"}, {"x-api-key", "other"}}), kRefused);
  server_->Shutdown();
  EXPECT_THAT(handled_for_, ElementsAre("billing", "shop"));
}

TEST_P(AuthTest, ReadsAllOfAKeyWhateverItsLength) {
  const std::string digits = "0123456789abcdef01234567";
  std::map<std::string, Identity> keys;
  for (const std::size_t size : {1, 7, 8, 9, 16, 23}) {
    keys[digits.substr(0, size)] = {.name = std::to_string(size)};
  }
  Serve(ApiKey(keys));
  for (const auto& [key, identity] : keys) {
    EXPECT_EQ(Code({{"x-api-key", key}}), grpc::StatusCode::OK) << key;
    EXPECT_EQ(handled_for_.back(), identity.name);
    for (const std::size_t at : {std::size_t{0}, key.size() / 2, key.size() - 1}) {
      std::string wrong = key;
      wrong[at] ^= 1;
      EXPECT_EQ(Code({{"x-api-key", wrong}}), kRefused) << wrong;
    }
  }
}

TEST_P(AuthTest, TakesABearerTokenInEitherCaseOfItsScheme) {
  Serve(BearerToken([](std::string_view token) -> absl::StatusOr<Identity> {
    if (token != "t") return absl::PermissionDeniedError("not you");
    return Identity{.name = "bearer"};
  }));
  EXPECT_EQ(Code({{"authorization", "Bearer t"}}), grpc::StatusCode::OK);
  EXPECT_EQ(Code({{"authorization", "bearer  t"}}), grpc::StatusCode::OK);
  EXPECT_EQ(Code({{"authorization", "Bearer x"}}), grpc::StatusCode::PERMISSION_DENIED);
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer   ", "Basic t", "t"}) {
    EXPECT_EQ(Code({{"authorization", wrong}}), kRefused) << wrong;
  }
  server_->Shutdown();
  EXPECT_THAT(handled_for_, ElementsAre("bearer", "bearer"));
}

TEST_P(AuthTest, RecordsTheIdentityWhenAsked) {
  Serve(ApiKey({{"k", {.name = "billing"}}}), {.record = true});
  EXPECT_EQ(Code({{"x-api-key", "k"}}), grpc::StatusCode::OK);
  channel_.reset();
  server_->Shutdown();
  EXPECT_THAT(exporter_->Tree().FindRuns(RunNameOf(RpcKind::kUnary)),
              Contains(HasMetadata("enduser.id", "billing")));
}

// An identity lies in the memory of its call, which is long gone when the context is.
TEST_P(AuthTest, AContextThatOutlivesItsCallAndServerHasTheIdentity) {
  Serve(ApiKey({{"k", {.name = "billing", .attributes = {{"team", "payments of all kinds"}}}}}));
  Context kept;
  server_->progress().during_work = [&kept] { kept = Context::Current(); };
  EXPECT_EQ(Code({{"x-api-key", "k"}}), grpc::StatusCode::OK);
  channel_.reset();
  server_.reset();
  ASSERT_NE(IdentityOf(kept), nullptr);
  EXPECT_EQ(IdentityOf(kept)->name, "billing");
  static constexpr ContextKey<int> kDepth;
  // So deep that the context keeps single values instead of those that it was derived from.
  for (int depth = 0; depth < 100; ++depth) kept = kept.With(kDepth, depth);
  ASSERT_NE(IdentityOf(kept), nullptr);
  EXPECT_EQ(IdentityOf(kept)->attributes.at("team"), "payments of all kinds");
}

TEST_P(AuthTest, ACheckMaySharePeopleInsteadOfCopyingThem) {
  const auto who = std::make_shared<const Identity>(Identity{.name = "billing"});
  Serve([who](const AuthRequest&) -> absl::StatusOr<SharedIdentity> { return who; });
  const Identity* seen = nullptr;
  server_->progress().during_work = [&seen] { seen = CurrentIdentity(); };
  EXPECT_EQ(Code(), grpc::StatusCode::OK);
  channel_.reset();
  server_.reset();
  EXPECT_EQ(seen, who.get());
}

TEST_P(AuthTest, NobodyIsLetInAsNobody) {
  Serve([](const AuthRequest&) -> absl::StatusOr<SharedIdentity> {
    return std::shared_ptr<const Identity>();
  });
  EXPECT_EQ(Code(), grpc::StatusCode::INTERNAL);
  server_->Shutdown();
  EXPECT_TRUE(handled_for_.empty());
}

class AuthFailureTest : public ::testing::TestWithParam<Flavour> {};

TEST_P(AuthFailureTest, ACheckThatThrowsLetsNobodyIn) {
  const auto check = [](const AuthRequest&) -> absl::StatusOr<Identity> {
    throw std::runtime_error("down");
  };
  const std::uint64_t before = GetInterceptorStats().hook_failures;
  EchoServer server(GetParam(), {.middlewares = {Auth(check)}});
  int handled = 0;
  server.progress().during_work = [&handled] { ++handled; };
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  for (const RpcKind kind : {RpcKind::kUnary, RpcKind::kBidiStream}) {
    grpc::ClientContext context;
    const grpc::Status status = CallSync(kind, channel, context);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(status.error_message(), "authentication failed");
  }
  server.Shutdown();
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(GetInterceptorStats().hook_failures, before + 2);
  EXPECT_EQ(Auth(nullptr), nullptr);
}

const auto kFlavours =
    ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq, Flavour::kGenericCallback);
INSTANTIATE_TEST_SUITE_P(All, AuthTest, kFlavours, ::testing::PrintToStringParamName());
INSTANTIATE_TEST_SUITE_P(All, AuthFailureTest, kFlavours, ::testing::PrintToStringParamName());

}  // namespace
}  // namespace weft::echo_test
