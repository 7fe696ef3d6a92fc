// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <weft/collector/http_server.h>

#include "http/message.h"

namespace weft::collector {

/// OTLP over HTTP: what `/v1/traces` does, apart from how requests travel (docs/http-api.md).
///
/// Threads: any.
class OtlpHttpApi {
 public:
  using Done = std::function<void(HttpReply)>;

  OtlpHttpApi(const HttpServerOptions& options, const HttpServices& services)
      : options_(options), services_(services) {}

  /// What can be refused before the body is read: type and coding.
  std::optional<HttpReply> CheckHeader(const HttpRequest& request) const;

  /// Decodes and hands to Ingest. `done` may be called before this returns or later, from any
  /// thread.
  void Write(const HttpRequest& request, std::string body, Done done) const;

 private:
  const HttpServerOptions& options_;
  const HttpServices& services_;
};

/// An error as OTLP wants it: a google.rpc.Status in the encoding of the request.
HttpReply OtlpError(const HttpRequest& request, HttpReply reply);

}  // namespace weft::collector
