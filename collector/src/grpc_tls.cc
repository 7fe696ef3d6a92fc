// SPDX-License-Identifier: Apache-2.0
#include "grpc_tls.h"

#include <string>
#include <utility>

#include <grpc/grpc.h>

namespace weft::collector {
namespace {

// gRPC's C++ classes read certificates once; the function of the C core is asked at each
// handshake, so that new connections have the new certificate and open ones go on.
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingCredentials(GrpcTls* tls)
      : credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                tls->needs_client_certificate()
                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                    : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                &GrpcTls::Fetch, tls))) {}
  ~ReloadingCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

std::shared_ptr<GrpcTls> GrpcTls::Make(std::shared_ptr<TlsContext> tls) {
  if (tls == nullptr) return nullptr;
  auto made = std::make_shared<GrpcTls>();
  made->tls_ = std::move(tls);
  return made;
}

bool GrpcTls::needs_client_certificate() const {
  std::uint64_t version = 0;
  return !tls_->files(&version).client_ca.empty();
}

grpc_ssl_certificate_config_reload_status GrpcTls::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  auto& tls = *static_cast<GrpcTls*>(self);
  std::uint64_t version = 0;
  const TlsFiles files = tls.tls_->files(&version);
  if (tls.given_.exchange(version) == version) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {files.key.c_str(), files.cert.c_str()};
  // gRPC 1.51 ends the process without any roots. Those of a listener that asks callers for no
  // certificate are not looked at.
  const std::string& roots = files.client_ca.empty() ? files.cert : files.client_ca;
  *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const std::shared_ptr<GrpcTls>& tls) {
  if (tls == nullptr) return grpc::InsecureServerCredentials();
  return std::make_shared<ReloadingCredentials>(tls.get());
}

}  // namespace weft::collector
