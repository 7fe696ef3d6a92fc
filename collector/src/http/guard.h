// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/collector/http_server.h>

#include "http/message.h"
#include "http/target.h"

namespace weft::collector {

/// The key that the caller showed: `x-api-key`, else a bearer token.
std::string_view KeyOf(const HttpRequest& request);

/// Decides who may talk to the collector at all, from a request's header alone.
///
/// `Host` must name this machine or an allowed host: a page of another site that made its name
/// resolve to loopback (DNS rebinding) sends its own name. `Origin`, which browsers add, must be
/// the collector's own. Keys come last, so that a stranger learns nothing about them.
class RequestGuard {
 public:
  /// `services` outlives the guard. `has_tls`: the listener's own origin begins with `https`.
  RequestGuard(std::vector<std::string> allowed_hosts, const HttpServices& services, bool has_tls);

  /// Threads: any.
  void SetAllowedHosts(std::vector<std::string> hosts);

  /// The refusal, or nothing: the request may go on.
  std::optional<HttpReply> Check(const HttpRequest& request, Route route) const;

 private:
  bool IsAllowedHost(std::string_view host) const;
  bool IsKnownHost(std::string_view host) const;
  bool IsOwnOrigin(const HttpRequest& request) const;
  std::optional<HttpReply> CheckKey(const HttpRequest& request, Route route) const;

  mutable std::mutex mutex_;
  std::vector<std::string> allowed_hosts_;  ///< Lower case.
  const HttpServices& services_;
  const bool has_tls_;
};

}  // namespace weft::collector
