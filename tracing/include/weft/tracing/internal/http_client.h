// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {
inline namespace v0 {
namespace internal {

/// Files in PEM; empty: SSL_CERT_FILE's or the system's certificates, and none of one's own.
struct TlsFiles {
  std::string ca_file{};
  std::string certificate_file{};
  std::string key_file{};
};

struct OutgoingRequest {
  std::string method = "POST";
  std::string url;
  std::vector<std::string> headers;  ///< `Name: value`
  std::string_view body;
  std::chrono::milliseconds timeout{60'000};
  TlsFiles tls{};
};

struct IncomingReply {
  long status = 0;  ///< 0 = no answer; `error` says why.
  std::string error;
  std::string body;  ///< Cut at 64 KiB.
  std::string content_type;
  std::optional<std::chrono::milliseconds> retry_after;
};

/// Sends requests by libcurl and keeps connections for the next ones. Follows no redirect, so that
/// a key goes nowhere but where it was meant to go.
///
/// Threads: any; Send blocks. `abort` breaks it off within a tenth of a second.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  IncomingReply Send(const OutgoingRequest& request, const std::atomic<bool>& abort);

  /// Requests from now on get connections of their own, and files of certificates are read again,
  /// which libcurl keeps for a day.
  void Renew();

 private:
  struct Handle;  ///< A transfer with its connections.

  Handle* Take();
  void Give(Handle* handle);

  const std::string ca_file_;  ///< SSL_CERT_FILE.
  std::mutex mutex_;
  std::vector<Handle*> idle_;
  std::uint64_t generation_ = 0;  ///< Handles of others are not used again.
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
