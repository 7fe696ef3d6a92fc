// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <weft/collector/admin.h>
#include <weft/collector/ingest.h>
#include <weft/collector/run_store.h>

namespace weft::collector {

class TenantBudget;
class TlsContext;

struct HttpServerOptions {
  std::string address = "127.0.0.1:1984";  ///< HOST:PORT, `[::1]:PORT` for IPv6; port 0 = any.
  /// Values of `Host` that are answered besides loopback names and addresses: `name` or
  /// `name:port`.
  std::vector<std::string> allowed_hosts{};
  std::uint64_t max_wire_bytes = 64ull << 20;       ///< Of a body as it arrives.
  std::uint64_t max_decoded_bytes = 256ull << 20;   ///< Of a body without its content coding.
  std::uint64_t max_inflight_bytes = 512ull << 20;  ///< Of all bodies that are not answered yet.
  std::size_t max_connections = 20'000;
  std::chrono::milliseconds header_timeout{10'000};
  /// A body must come at 1 KiB/s once this has passed since its header.
  std::chrono::milliseconds body_grace{10'000};
  std::chrono::milliseconds idle_timeout{75'000};
  int threads = 2;
  std::shared_ptr<TlsContext> tls{};  ///< Null: plain HTTP.
};

/// What the server asks of the rest of the collector. All are called from several threads and must
/// outlive the server.
struct HttpServices {
  Ingest* ingest = nullptr;
  /// The listener has OTLP, `/live`, `/ready` and `/metrics`, and nothing of LangSmith's API.
  bool otlp_only = false;
  const RunStore* store = nullptr;
  std::function<bool(std::string_view key)> accepts_key{};  ///< Empty: every key, and none at all.
  std::function<bool(std::string_view key)> may_read{};     ///< Empty: every key.
  /// For `/admin`; empty: nobody. `is_loopback`: the caller is on this machine.
  std::function<bool(std::string_view key, bool is_loopback)> may_administer{};
  /// What the key's tenant has in flight; null, or empty: no limit.
  std::function<std::shared_ptr<TenantBudget>(std::string_view key)> budget_of{};
  std::function<std::string()> metrics{};  ///< Prometheus text for `/metrics`.
  std::function<absl::Status()> ready{};   ///< For `/ready`; the message is shown.
  AdminHandlers admin{};                   ///< For what is below `/admin`.
};

struct HttpStats {
  std::atomic<std::uint64_t> connections{0};  ///< Open now.
  std::atomic<std::uint64_t> inflight_bytes{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> refused{0};       ///< Answered with a status of 400 or more.
  std::atomic<std::uint64_t> timeouts{0};      ///< Connections closed for being slow or idle.
  std::atomic<std::uint64_t> tls_failures{0};  ///< Connections whose handshake failed.
  std::atomic<std::uint64_t> repaired_parts{
      0};  ///< Invalid text or NaN replaced, parents filled in.
};

/// Everything HTTP that comes in: LangSmith's API for writing and reading runs, OTLP, `/live`,
/// `/ready`, `/metrics` (docs/http-api.md).
///
///     auto server = HttpServer::Start({.address = "127.0.0.1:0"}, {.ingest = &ingest, .store =
///     &store}); std::cerr << "listening on " << (*server)->address() << "\n";
///
/// An operation is answered with 202 after Ingest says that it is durable; no thread waits for
/// that.
///
/// Lifetime: the destructor is Stop with no patience. Answers of Ingest may come later.
/// Threads: any. `threads` of its own serve connections, two more read from the store.
/// Errors: Start names the address; a client's mistakes are answers and counts.
class HttpServer {
 public:
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           HttpServices services);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// HOST:PORT as bound.
  std::string address() const;

  /// Stops accepting, closes idle connections, waits up to `patience` for requests in flight to be
  /// answered, then closes the rest. A second call does nothing.
  void Stop(std::chrono::milliseconds patience);

  /// Takes the place of HttpServerOptions::allowed_hosts from the next request on.
  void SetAllowedHosts(std::vector<std::string> hosts);

  const HttpStats& stats() const;

 private:
  class Core;
  explicit HttpServer(std::shared_ptr<Core> core);

  std::shared_ptr<Core> core_;
};

}  // namespace weft::collector
