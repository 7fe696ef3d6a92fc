// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>

namespace boost::asio::ssl {
class context;
}

namespace weft::collector {

/// The contents of a listener's PEM files, which were found to belong together.
struct TlsFiles {
  std::string cert;
  std::string key;
  std::string client_ca;  ///< Empty: callers need no certificate.

  /// Errors: FailedPrecondition names the key of the configuration and the path.
  static absl::StatusOr<TlsFiles> Read(const TlsConfig& config);

  /// When the first of the certificates ends.
  std::chrono::system_clock::time_point Expiry() const;
};

/// What new connections of a listener use: TLS 1.2 or later.
///
///     auto tls = TlsContext::Create(config.TlsOf(config.tls_http));
///     auto commit = (*tls)->PrepareReload(changed);  // reads the files
///     if (commit.ok()) (*commit)();                  // connections from now on; others go on
///
/// Threads: any.
class TlsContext {
 public:
  static absl::StatusOr<std::shared_ptr<TlsContext>> Create(const TlsConfig& config);

  absl::StatusOr<std::function<void()>> PrepareReload(const TlsConfig& config);

  /// For HTTP.
  std::shared_ptr<boost::asio::ssl::context> context() const;
  /// For gRPC, which makes its own of it; `version` is another one after each reload.
  TlsFiles files(std::uint64_t* version) const;

 private:
  struct State {
    TlsFiles files;
    std::shared_ptr<boost::asio::ssl::context> context;
  };

  static absl::StatusOr<State> Load(const TlsConfig& config);

  mutable std::mutex mutex_;
  State state_;
  std::uint64_t version_ = 1;
};

}  // namespace weft::collector
