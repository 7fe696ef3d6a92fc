// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/middleware_suite.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/deadline.h>

namespace weft {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weft::testing::CallEnding;
using weft::testing::CheckMiddleware;
using weft::testing::MiddlewareCase;
using weft::testing::MiddlewareUnderTest;
using weft::testing::ServerFlavour;

constexpr MiddlewareCase kOkCall{ServerFlavour::kSync, RpcKind::kUnary, CallEnding::kOk};
constexpr MiddlewareCase kFailedCall{ServerFlavour::kCallback, RpcKind::kBidiStream,
                                     CallEnding::kError};
constexpr MiddlewareCase kRejectedCall{ServerFlavour::kFiber, RpcKind::kServerStream,
                                       CallEnding::kRejected};

template <typename M>
std::vector<std::string> Check(const MiddlewareCase& one) {
  return CheckMiddleware(
      [] {
        return MiddlewareUnderTest{.middleware = std::make_shared<M>(),
                                   .rejected = {{"who", "nobody"}}};
      },
      one);
}

TEST(MiddlewareSuiteTest, HasEachCaseOnce) {
  std::vector<std::string> names;
  for (const MiddlewareCase& one : weft::testing::MiddlewareCases()) names.push_back(one.Name());
  EXPECT_THAT(names, Contains("Fiber_bidi_stream_ClientCancel").Times(1));
  EXPECT_THAT(names, Contains("Cq_unary_Throw").Times(1));
  EXPECT_THAT(names, Contains("Cq_unary_Dropped").Times(0));
}

TEST(MiddlewareSuiteTest, FindsNothingInAMiddlewareThatDoesNothing) {
  EXPECT_THAT(Check<Middleware>(kOkCall), IsEmpty());
  EXPECT_THAT(Check<Middleware>(kFailedCall), IsEmpty());
}

TEST(MiddlewareSuiteTest, NamesACallThatTheMiddlewareFails) {
  class Breaker : public Middleware {
    void OnStatus(Call& /*call*/, grpc::Status& status) noexcept override {
      status = {grpc::StatusCode::INTERNAL, "broken"};
    }
  };
  EXPECT_THAT(Check<Breaker>(kOkCall), Contains(HasSubstr("INTERNAL: broken")));
}

TEST(MiddlewareSuiteTest, NamesAnErrorThatTheMiddlewareHides) {
  class Hider : public Middleware {
    void OnStatus(Call& /*call*/, grpc::Status& status) noexcept override { status = {}; }
  };
  EXPECT_THAT(Check<Hider>(kFailedCall), Contains(HasSubstr("ended with OK")));
}

TEST(MiddlewareSuiteTest, NamesMetadataThatCannotBeSent) {
  class Scribbler : public Middleware {
    void OnSendMetadata(Call& /*call*/, MetadataWriter& metadata) noexcept override {
      metadata.Add("Not A Key", "");
    }
  };
  EXPECT_THAT(Check<Scribbler>(kOkCall), Contains(HasSubstr("bad-key")));
}

TEST(MiddlewareSuiteTest, NamesARejectionThatIsNotAnnounced) {
  class Silent : public Middleware {
    std::string_view name() const noexcept override { return "silent"; }
    Verdict Admit(Call& /*call*/, const MetadataView& /*metadata*/) noexcept override {
      return {.status = {grpc::StatusCode::PERMISSION_DENIED, "no"}};
    }
  };
  EXPECT_THAT(Check<Silent>(kRejectedCall), Contains(HasSubstr("may_reject() is false")));
  EXPECT_THAT(Check<Silent>(kOkCall), Contains(HasSubstr("rejected by \"silent\"")));
}

TEST(MiddlewareSuiteTest, NamesACallThatIsNotRejected) {
  EXPECT_THAT(Check<Middleware>(kRejectedCall), Contains(HasSubstr("ended with OK")));
}

// Two middlewares of weft's own, as users try theirs.

// snippet: suite
WEFT_MIDDLEWARE_SUITE(Auth, [] {
  return MiddlewareUnderTest{
      .middleware = Auth(ApiKey({{"s3cret", {.name = "billing"}}})),
      .on_clients = false,
      .metadata = {{"x-api-key", "s3cret"}},
      .rejected = {{"x-api-key", "guessed"}},
  };
});
// end snippet

WEFT_MIDDLEWARE_SUITE(Deadline, [] {
  return MiddlewareUnderTest{.middleware = Deadline(), .on_clients = false};
});

}  // namespace
}  // namespace weft
