// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <gtest/gtest.h>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/intercept_server.h>

#include "certificate.h"
#include "echo_client.h"
#include "echo_server.h"

namespace weft::echo_test {
namespace {

using ::testing::HasSubstr;

constexpr char kServer[] = "server.test";

class MtlsTest : public ::testing::TestWithParam<Flavour> {
 protected:
  void Serve(const Certificate& root, AuthCheck check) {
    progress_.during_work = [this] {
      const Identity* const identity = CurrentIdentity();
      if (identity != nullptr) seen_ = *identity;
    };
    service_ = MakeService(GetParam(), progress_);
    grpc::SslServerCredentialsOptions tls(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    tls.pem_root_certs = root.pem;
    tls.pem_key_cert_pairs.push_back({server_.key, server_.pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port_);
    ASSERT_TRUE(service_->Register(builder, /*guarded=*/true).ok());
    ASSERT_TRUE(InterceptServer(builder, {.middlewares = {Auth(std::move(check))}}).ok());
    ASSERT_NE(service_->Start(builder), nullptr);
  }
  ~MtlsTest() override {
    if (service_ != nullptr) service_->Shutdown();
  }

  grpc::Status Call(const Certificate* mine) {
    grpc::SslCredentialsOptions tls{.pem_root_certs = server_.pem,
                                    .pem_private_key = mine == nullptr ? "" : mine->key,
                                    .pem_cert_chain = mine == nullptr ? "" : mine->pem};
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(kServer);
    const auto channel = grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port_),
                                                   grpc::SslCredentials(tls), arguments);
    grpc::ClientContext context;
    return CallSync(RpcKind::kUnary, channel, context);
  }

  const Certificate server_ = MakeCertificate(kServer);
  Identity seen_;  // one call at a time
  Progress progress_;

 private:
  std::unique_ptr<EchoService> service_;
  int port_ = 0;
};

TEST_P(MtlsTest, TheCallerIsWhomItsCertificateNames) {
  const Certificate mine = MakeCertificate(
      "billing", "DNS:billing.other.test,DNS:billing.team.test,URI:spiffe://test/billing");
  Serve(mine, MtlsIdentity({"*.team.test"}));
  const grpc::Status status = Call(&mine);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(seen_.name, "billing.team.test");
  EXPECT_THAT(seen_.attributes["tls.names"], HasSubstr("billing.other.test,billing.team.test"));
}

TEST_P(MtlsTest, AnyVerifiedNameWillDoUnlessSomeAreListed) {
  const Certificate mine = MakeCertificate("a.test");
  Serve(mine, MtlsIdentity());
  EXPECT_TRUE(Call(&mine).ok());
  EXPECT_EQ(seen_.name, "a.test");
}

TEST_P(MtlsTest, ANameThatIsNotListedIsRefused) {
  const Certificate mine = MakeCertificate("team.test.example");
  Serve(mine, MtlsIdentity({"*.team.test", "team.test"}));
  const grpc::Status status = Call(&mine);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("'team.test.example'"));
  EXPECT_EQ(progress_.handled, 0);
}

TEST_P(MtlsTest, WhoShowsNoCertificateIsRefused) {
  Serve(MakeCertificate("a.test"), MtlsIdentity());
  EXPECT_EQ(Call(nullptr).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(progress_.handled, 0);
}

TEST_P(MtlsTest, ACertificateOfAnotherRootDoesNotEvenConnect) {
  const Certificate forged = MakeCertificate("a.test");
  Serve(MakeCertificate("a.test"), MtlsIdentity());
  EXPECT_EQ(Call(&forged).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(progress_.handled, 0);
}

INSTANTIATE_TEST_SUITE_P(All, MtlsTest, ::testing::Values(Flavour::kSync, Flavour::kCallback),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace weft::echo_test
