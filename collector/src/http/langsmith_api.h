// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include <weft/collector/http_server.h>

#include "http/admin_api.h"
#include "http/message.h"
#include "http/target.h"
#include "otlp/http_api.h"

namespace weft::collector {

/// What the paths do, apart from how requests travel (docs/http-api.md).
///
/// Threads: any.
class LangSmithApi {
 public:
  using Done = std::function<void(HttpReply)>;

  LangSmithApi(const HttpServerOptions& options, const HttpServices& services, HttpStats& stats)
      : options_(options),
        services_(services),
        stats_(stats),
        otlp_(options, services),
        admin_(services.admin) {}

  /// What can be refused before the body is read: path, method, type, coding.
  std::optional<HttpReply> CheckHeader(const HttpRequest& request, const Target& target) const;

  /// Whether the request brings runs; the others only read.
  static bool IsWrite(const HttpRequest& request, const Target& target);

  /// Decodes and hands to Ingest. `done` may be called before this returns or later, from any
  /// thread.
  void Write(const HttpRequest& request, const Target& target, std::string body, Done done) const;

  /// Whether Read asks the store, and so may take long.
  static bool ReadsStore(const Target& target);

  HttpReply Read(const HttpRequest& request, const Target& target, const std::string& body) const;

 private:
  HttpReply Ready() const;
  HttpReply FindRun(const Target& target) const;
  HttpReply FindAttachment(const Target& target) const;
  HttpReply QueryRuns(const HttpRequest& request, const std::string& body) const;
  HttpReply ListSessions(const Target& target) const;
  HttpReply FindSession(const Target& target) const;

  const HttpServerOptions& options_;
  const HttpServices& services_;
  HttpStats& stats_;
  const OtlpHttpApi otlp_;
  const AdminApi admin_;
};

}  // namespace weft::collector
