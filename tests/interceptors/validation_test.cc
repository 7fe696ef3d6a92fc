// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/validation.h>
#include <weft/testing/run_matchers.h>

#include "echo.pb.h"
#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::HasSubstr;
using weft::testing::HasMetadata;

MessageCheck CheckText() {
  return CheckMessage<::echo::Message>([](const ::echo::Message& message) {
    std::vector<Violation> violations;
    if (message.text() == "throw") throw std::runtime_error("the check broke");
    if (message.text().starts_with("bad")) violations.push_back({"text", "must not be bad"});
    if (message.text() == "bad twice") violations.push_back({"text", "not even once"});
    return violations;
  });
}

class ValidationTest : public EchoTest,
                       public ::testing::WithParamInterface<std::tuple<Flavour, RpcKind>> {
 protected:
  void Serve(std::vector<MessageCheck> checks) {
    EchoTest::Serve(std::get<0>(GetParam()),
                    {.tracer = tracer_, .middlewares = {Validation(std::move(checks))}}, {});
  }
  grpc::Status Call(const std::string& text) {
    grpc::ClientContext context;
    return CallSync(std::get<1>(GetParam()), channel_, context, text);
  }
  bool HasSingleRequest() const {
    const auto [flavour, kind] = GetParam();
    return (kind == RpcKind::kUnary || kind == RpcKind::kServerStream) &&
           flavour != Flavour::kGenericCallback;
  }
};

TEST_P(ValidationTest, AGoodMessageReachesItsHandler) {
  Serve({CheckText()});
  const grpc::Status status = Call("good");
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(server_->progress().handled, 1);
}

TEST_P(ValidationTest, ABadMessageIsRejectedWithItsField) {
  Serve({CheckText()});
  const grpc::Status status = Call("bad");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "text: must not be bad");
  server_->Shutdown();
  if (HasSingleRequest()) {
    EXPECT_EQ(server_->progress().handled, 0);
  }
  const auto tree = exporter_->Tree();
  ASSERT_FALSE(tree.Roots().empty());
  EXPECT_THAT(tree.Roots()[0], HasMetadata("weft.rejected_by", "validation"));
}

TEST_P(ValidationTest, ACheckOfAnotherTypeIsNotAsked) {
  bool asked = false;
  Serve({{.type = nullptr, .check = [&](const google::protobuf::Message&) {
            asked = true;
            return std::vector<Violation>();
          }}});
  EXPECT_TRUE(Call("bad").ok());
  server_->Shutdown();
  EXPECT_FALSE(asked);
}

INSTANTIATE_TEST_SUITE_P(
    All, ValidationTest,
    ::testing::Combine(::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                         Flavour::kGenericCallback, Flavour::kFiber),
                       ::testing::Values(RpcKind::kUnary, RpcKind::kClientStream,
                                         RpcKind::kServerStream, RpcKind::kBidiStream)),
    [](const auto& test) {
      return ::testing::PrintToString(std::get<0>(test.param)) + "_" +
             std::string(RpcKindName(std::get<1>(test.param)));
    });

class ValidationStatusTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {};

TEST_P(ValidationStatusTest, HasTheDetailsThatOtherLanguagesRead) {
  Serve(GetParam(), {.middlewares = {Validation({CheckText()})}}, {});
  grpc::ClientContext context;
  const grpc::Status status = CallSync(RpcKind::kUnary, channel_, context, "bad twice");
  EXPECT_EQ(status.error_message(), "text: must not be bad; text: not even once");
  const std::string first = "\n\x17\n\x04text\x12\x0fmust not be bad";
  const std::string second = "\n\x15\n\x04text\x12\rnot even once";
  const std::string any =
      "\n\x29type.googleapis.com/google.rpc.BadRequest\x12\x30" + first + second;
  EXPECT_EQ(status.error_details(), "\x08\x03\x12\x2a" + status.error_message() + "\x1a\x5d" + any);
}

TEST_P(ValidationStatusTest, AVeryLongOneIsCut) {
  const auto check = CheckMessage<::echo::Message>([](const ::echo::Message&) {
    return std::vector<Violation>(500, {.field = "text", .description = std::string(100, 'x')});
  });
  Serve(GetParam(), {.middlewares = {Validation({check})}}, {});
  grpc::ClientContext context;
  const grpc::Status status = CallSync(RpcKind::kUnary, channel_, context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("xxx..."));
  EXPECT_LT(status.error_message().size(), 1100u);
}

INSTANTIATE_TEST_SUITE_P(All, ValidationStatusTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq),
                         ::testing::PrintToStringParamName());

TEST(ValidationFailureTest, ACheckThatThrowsLetsNothingThrough) {
  const std::uint64_t before = GetInterceptorStats().hook_failures;
  EchoServer server(Flavour::kSync, {.middlewares = {Validation({CheckText()})}});
  const auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  const grpc::Status status = CallSync(RpcKind::kUnary, channel, context, "throw");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(), "validation failed");
  EXPECT_EQ(server.progress().handled, 0);
  EXPECT_EQ(GetInterceptorStats().hook_failures, before + 1);
}

}  // namespace
}  // namespace weft::echo_test
