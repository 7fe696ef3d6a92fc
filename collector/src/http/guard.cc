// SPDX-License-Identifier: Apache-2.0
#include "http/guard.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

namespace weft::collector {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return lower;
}

/// `name:port` and `[address]:port` without the port.
std::string_view WithoutPort(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || host.find(']', colon) != std::string_view::npos) {
    return host;
  }
  const std::string_view port = host.substr(colon + 1);
  const bool digits =
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? host.substr(0, colon) : host;
}

bool IsLoopback(std::string_view name) {
  if (Lower(name) == "localhost" || name == "[::1]") return true;
  in_addr address;
  return ::inet_pton(AF_INET, std::string(name).c_str(), &address) == 1 &&
         (ntohl(address.s_addr) >> 24) == 127;
}

bool IsForReading(const HttpRequest& request, Route route) {
  return route == Route::kRunsQuery || route == Route::kAttachment || route == Route::kSessions ||
         route == Route::kSession || (route == Route::kRun && request.method != "PATCH");
}

}  // namespace

std::string_view KeyOf(const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  if (!request.api_key.empty()) return request.api_key;
  const std::string_view authorization = request.authorization;
  return authorization.starts_with(kBearer) ? authorization.substr(kBearer.size())
                                            : std::string_view();
}

RequestGuard::RequestGuard(std::vector<std::string> allowed_hosts, const HttpServices& services,
                           bool has_tls)
    : services_(services), has_tls_(has_tls) {
  SetAllowedHosts(std::move(allowed_hosts));
}

void RequestGuard::SetAllowedHosts(std::vector<std::string> hosts) {
  for (std::string& host : hosts) host = Lower(host);
  std::lock_guard lock(mutex_);
  allowed_hosts_ = std::move(hosts);
}

bool RequestGuard::IsAllowedHost(std::string_view host) const {
  const std::string lower = Lower(host);
  std::lock_guard lock(mutex_);
  return std::any_of(allowed_hosts_.begin(), allowed_hosts_.end(), [&](const std::string& allowed) {
    return allowed == lower || allowed == WithoutPort(lower);
  });
}

bool RequestGuard::IsKnownHost(std::string_view host) const {
  return IsLoopback(WithoutPort(host)) || IsAllowedHost(host);
}

bool RequestGuard::IsOwnOrigin(const HttpRequest& request) const {
  const std::string origin = Lower(request.origin), host = Lower(request.host);
  if (!IsKnownHost(host)) return false;
  // A proxy in front of an allowed name may speak TLS.
  return origin == (has_tls_ ? "https://" : "http://") + host ||
         (IsAllowedHost(host) && origin == "https://" + host);
}

std::optional<HttpReply> RequestGuard::Check(const HttpRequest& request, Route route) const {
  if (!IsForProbes(route) && !IsKnownHost(request.host)) {
    return ErrorReply(
        403,
        "Host: '" + request.host + "' is neither a loopback name nor one of http.allowed_hosts",
        "host");
  }
  if (request.has_origin && !IsOwnOrigin(request)) {
    return ErrorReply(403, "Origin: '" + request.origin + "' is not this collector", "origin");
  }
  return CheckKey(request, route);
}

std::optional<HttpReply> RequestGuard::CheckKey(const HttpRequest& request, Route route) const {
  if (IsForProbes(route) || route == Route::kInfo) return std::nullopt;
  const std::string_view key = KeyOf(request);
  if (services_.accepts_key && !services_.accepts_key(key)) {
    HttpReply reply =
        ErrorReply(401, key.empty() ? "x-api-key: missing" : "x-api-key: unknown key", "key");
    reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    return reply;
  }
  // A proxy on this machine calls for others, by the name that they know.
  const bool is_local = request.is_loopback && IsLoopback(WithoutPort(request.host));
  if (route == Route::kAdmin &&
      (!services_.may_administer || !services_.may_administer(key, is_local))) {
    return ErrorReply(403, "x-api-key: only this machine or a key with admin may do this");
  }
  if (IsForReading(request, route) && services_.may_read && !services_.may_read(key)) {
    return ErrorReply(403, "x-api-key: this key may write, but not read");
  }
  return std::nullopt;
}

}  // namespace weft::collector
