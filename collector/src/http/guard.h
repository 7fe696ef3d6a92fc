// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http/target.h"

namespace weft::collector {

/// Decides who may talk to the collector at all, from a request's header alone.
///
/// `Host` must name this machine or an allowed host: a page of another site that made its name
/// resolve to loopback (DNS rebinding) sends its own name. `Origin`, which browsers add, must be
/// the collector's own. Keys come last, so that a stranger learns nothing about them.
class RequestGuard {
 public:
  using AcceptsKey = std::function<bool(std::string_view)>;

  RequestGuard(std::vector<std::string> allowed_hosts, AcceptsKey accepts_key);

  /// Threads: any.
  void SetAllowedHosts(std::vector<std::string> hosts);

  /// The refusal, or nothing: the request may go on.
  std::optional<HttpReply> Check(const HttpRequest& request, Route route) const;

 private:
  bool IsAllowedHost(std::string_view host) const;
  bool IsKnownHost(std::string_view host) const;
  bool IsOwnOrigin(const HttpRequest& request) const;

  mutable std::mutex mutex_;
  std::vector<std::string> allowed_hosts_;  ///< Lower case.
  AcceptsKey accepts_key_;
};

}  // namespace weft::collector
