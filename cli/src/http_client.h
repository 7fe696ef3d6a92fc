// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace weft::cli {

struct HttpResponse {
  long status = 0;
  std::string body;
};

/// Talks HTTP to one collector.
///
///     HttpClient client("http://127.0.0.1:1984");
///     absl::StatusOr<HttpResponse> reply = client.Get("/sessions");
///
/// A key in WEFT_API_KEY goes along as `x-api-key`, for a collector that asks for one. With TLS,
/// SSL_CERT_FILE names certificates to trust in the place of the system's.
///
/// Threads: one at a time.
/// Errors: Unavailable with what to do about it when nobody answers; any HTTP status is a reply.
class HttpClient {
 public:
  explicit HttpClient(std::string endpoint);

  absl::StatusOr<HttpResponse> Get(std::string_view path) const;
  absl::StatusOr<HttpResponse> Post(std::string_view path, const std::string& json) const;

  const std::string& endpoint() const { return endpoint_; }

 private:
  absl::StatusOr<HttpResponse> Send(std::string_view path, const std::string* json) const;

  std::string endpoint_;
};

/// The endpoint that `flag`, else WEFT_ENDPOINT, else the default names, without a final `/`.
/// Errors: InvalidArgument names the option or the variable.
absl::StatusOr<std::string> ChooseEndpoint(const std::string& flag);

/// `text` as a value in a URL's query.
std::string UrlEncode(std::string_view text);

}  // namespace weft::cli
