// SPDX-License-Identifier: Apache-2.0
// Callers known by their certificates.
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/run_matchers.h>

#include "certificate.h"
#include "echo.grpc.pb.h"

namespace weft::echo_test {
namespace {

constexpr char kServer[] = "server.test";
constexpr char kTheirParent[] = "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001";

class TrustTls : public ::testing::Test {
 protected:
  void Serve(const std::string& trusted_roots) {
    tracer_ =
        Tracer::Create({.open_run_delay = std::chrono::hours(1), .exporters = {exporter_}}).value();
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = trusted_roots;
    options.pem_key_cert_pairs.push_back({server_certificate_.key, server_certificate_.pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(options), &port_);
    builder.RegisterService(&service_);
    TrustOptions trust{.rules = {{.tls_identities = {"*.team.test"}}},
                       .otherwise = CallerTrust::kLink};
    ASSERT_TRUE(
        InterceptServer(builder, {.tracer = tracer_, .tracing = {.trust = std::move(trust)}}).ok());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // With a certificate of its own, or null.
  void Call(const Certificate* mine) {
    grpc::SslCredentialsOptions options{.pem_root_certs = server_certificate_.pem,
                                        .pem_private_key = mine == nullptr ? "" : mine->key,
                                        .pem_cert_chain = mine == nullptr ? "" : mine->pem};
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride(kServer);
    const auto stub = ::echo::Echo::NewStub(weft::CreateChannel(
        "127.0.0.1:" + std::to_string(port_), grpc::SslCredentials(options), {}, arguments));
    grpc::ClientContext context;
    context.AddMetadata("langsmith-trace", kTheirParent);
    ::echo::Message reply;
    const grpc::Status status = stub->Unary(&context, {}, &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  }

  bool IsTheirs() {
    server_->Shutdown();
    const auto tree = exporter_->Tree();
    EXPECT_EQ(tree.size(), 1u) << tree;
    return tree.size() == 1 && tree.Roots()[0]->context.parent_id().has_value();
  }

  const Certificate server_certificate_ = MakeCertificate(kServer);
  std::shared_ptr<testing::InMemoryExporter> exporter_ =
      std::make_shared<testing::InMemoryExporter>();
  std::shared_ptr<Tracer> tracer_;
  ::echo::Echo::Service service_;  // answers with UNIMPLEMENTED
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(TrustTls, ACallerIsKnownByTheNameInItsCertificate) {
  const Certificate team = MakeCertificate("billing.team.test");
  Serve(team.pem);
  Call(&team);
  EXPECT_TRUE(IsTheirs());
}

TEST_F(TrustTls, AnotherNameIsNotEnough) {
  const Certificate other = MakeCertificate("team.test.example");
  Serve(other.pem);
  Call(&other);
  EXPECT_FALSE(IsTheirs());
}

TEST_F(TrustTls, WhoShowsNoCertificateIsNobody) {
  Serve(MakeCertificate("billing.team.test").pem);
  Call(nullptr);
  EXPECT_FALSE(IsTheirs());
}

}  // namespace
}  // namespace weft::echo_test
