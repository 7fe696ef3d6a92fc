// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include <weft/interceptors/middleware.h>
#include <weft/interceptors/trust.h>

#include "network.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// The rules about callers as they apply to one method. Immutable.
class TrustPolicy {
 public:
  TrustPolicy() noexcept = default;
  TrustPolicy(const TrustOptions& options, std::string_view full_method);

  /// Names what is wrong in `options`.
  static absl::Status Check(const TrustOptions& options);

  /// Whether Decide is to be asked in OnVerdict, when the call has its Identity.
  bool needs_identity() const noexcept { return needs_identity_; }

  /// Whether every caller is trusted, whoever it is.
  bool trusts_all() const noexcept { return rules_.empty() && otherwise_ == CallerTrust::kTrusted; }

  /// On a server, from OnStart to OnVerdict.
  CallerTrust Decide(const Call& call) const noexcept;

 private:
  struct Rule {
    CallerTrust trust;
    std::vector<Network> networks;
    bool any_peer;
    bool unix_sockets;
    std::vector<Selector> tls_identities;
    std::vector<Selector> identities;

    bool TakesPeer(const Call& call) const;
    bool Takes(const Call& call) const;
  };

  std::vector<Rule> rules_;
  CallerTrust otherwise_ = CallerTrust::kTrusted;
  bool needs_identity_ = false;
};

/// What a server behind `target` is told.
Disclosure DisclosureTo(std::string_view target, const DisclosureOptions& options) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
