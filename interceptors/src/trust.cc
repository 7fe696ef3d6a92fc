// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/trust.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <weft/interceptors/auth.h>

#include "stats.h"
#include "trust_policy.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::string_view kUnix = "unix";

// Globs on names work as they do on methods.
std::vector<Selector> Globs(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

bool TakesOne(const std::vector<Selector>& globs, std::string_view name) noexcept {
  return std::ranges::any_of(globs, [&](const Selector& glob) { return glob.Selects(name); });
}

bool IsPublicName(std::string_view name) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.find('.') == name.npos) return false;
  constexpr auto kOwn = std::to_array<std::string_view>(
      {".local", ".internal", ".localhost", ".lan", ".svc", ".consul", ".test", ".home.arpa"});
  return std::ranges::none_of(kOwn, [&](std::string_view own) { return name.ends_with(own); });
}

// `host:port`, `[v6]:port`, or without a port.
bool IsPublicHost(std::string_view host) noexcept {
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (std::ranges::count(host, ':') == 1) {
    host = host.substr(0, host.find(':'));
  }
  if (const auto address = ParseIpAddress(host)) return !IsPrivate(*address);
  return IsPublicName(host);
}

bool IsPublicTarget(std::string_view target) noexcept {
  const std::size_t colon = target.find(':');
  const std::string_view scheme = colon == target.npos ? "" : target.substr(0, colon);
  if (scheme == "ipv4" || scheme == "ipv6") {
    const auto first = AddressOfPeer(target);
    return !first || !IsPrivate(*first);
  }
  if (scheme == "google-c2p") return true;
  std::string_view rest = colon == target.npos ? target : target.substr(colon + 1);
  if (scheme == "dns") {
    // dns:host, dns:///host, dns://server/host
    if (rest.starts_with("//")) rest.remove_prefix(std::min(rest.find('/', 2), rest.size()));
    if (rest.starts_with('/')) rest.remove_prefix(1);
    return IsPublicHost(rest);
  }
  const bool other_resolver = scheme == "unix" || scheme == "unix-abstract" || scheme == "vsock" ||
                              (rest.starts_with("//") && colon != target.npos);
  return !other_resolver && IsPublicHost(target);
}

}  // namespace

TrustPolicy::TrustPolicy(const TrustOptions& options, std::string_view full_method)
    : otherwise_(options.otherwise) {
  if (!Check(options).ok()) {
    otherwise_ = CallerTrust::kIgnore;
    return;
  }
  for (const TrustRule& rule : options.rules) {
    if (!rule.methods.Selects(full_method)) continue;
    Rule& added = rules_.emplace_back(Rule{.trust = rule.trust,
                                           .networks = {},
                                           .any_peer = rule.peers.empty(),
                                           .unix_sockets = false,
                                           .tls_identities = Globs(rule.tls_identities),
                                           .identities = Globs(rule.identities)});
    for (const std::string& peer : rule.peers) {
      if (peer == kUnix) {
        added.unix_sockets = true;
      } else {
        added.networks.push_back(*Network::Parse(peer));
      }
    }
    needs_identity_ = needs_identity_ || !rule.identities.empty();
  }
}

absl::Status TrustPolicy::Check(const TrustOptions& options) {
  for (std::size_t i = 0; i < options.rules.size(); ++i) {
    const std::vector<std::string>& peers = options.rules[i].peers;
    for (std::size_t j = 0; j < peers.size(); ++j) {
      if (peers[j] == kUnix || Network::Parse(peers[j])) continue;
      return absl::InvalidArgumentError(
          "tracing.trust.rules[" + std::to_string(i) + "].peers[" + std::to_string(j) + "] is '" +
          peers[j] + "': an address, a network such as 10.0.0.0/8, or unix is needed");
    }
  }
  return absl::OkStatus();
}

CallerTrust TrustPolicy::Decide(const Call& call) const noexcept try {
  for (const Rule& rule : rules_) {
    if (rule.Takes(call)) return rule.trust;
  }
  return otherwise_;
} catch (...) {
  CountHookFailure();
  return CallerTrust::kIgnore;
}

bool TrustPolicy::Rule::Takes(const Call& call) const {
  if (!any_peer && !TakesPeer(call)) return false;
  if (!tls_identities.empty()) {
    const std::vector<std::string> names = call.tls_identities();
    if (std::ranges::none_of(names, [&](const auto& n) { return TakesOne(tls_identities, n); })) {
      return false;
    }
  }
  if (identities.empty()) return true;
  const Identity* const identity = IdentityOf(call.context());
  return identity != nullptr && TakesOne(identities, identity->name);
}

bool TrustPolicy::Rule::TakesPeer(const Call& call) const {
  const std::string& peer = call.peer();
  if (unix_sockets && peer.starts_with("unix:")) return true;
  const auto address = AddressOfPeer(peer);
  return address && std::ranges::any_of(networks, [&](const Network& network) {
           return network.Contains(*address);
         });
}

Disclosure DisclosureTo(std::string_view target, const DisclosureOptions& options) noexcept {
  for (const DisclosureRule& rule : options.rules) {
    if (rule.targets.Selects(target)) return rule.disclosure;
  }
  return options.otherwise;
}

}  // namespace internal

Selector PublicEndpoints() { return Selector::Matching(internal::IsPublicTarget); }

}  // namespace v0
}  // namespace weft
