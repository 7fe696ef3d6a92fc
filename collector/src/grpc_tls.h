// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include "tls.h"

namespace weft::collector {

/// What gRPC asks at every handshake for a listener's certificate.
///
/// Lifetime: longer than the server.
class GrpcTls {
 public:
  /// Null for null.
  static std::shared_ptr<GrpcTls> Make(std::shared_ptr<TlsContext> tls);

  bool needs_client_certificate() const;

  /// For grpc_ssl_server_credentials_create_options_using_config_fetcher.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);

 private:
  std::shared_ptr<TlsContext> tls_;
  std::atomic<std::uint64_t> given_{0};  ///< Version of what gRPC has.
};

/// Without TLS for null.
std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(const std::shared_ptr<GrpcTls>& tls);

}  // namespace weft::collector
