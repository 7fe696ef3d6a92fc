// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/real_peer.h>

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "context_room.h"
#include "network.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::IpAddress;
using internal::Network;

constexpr ContextKey<std::string> kRealPeerKey;
using RealPeerRoom = internal::ContextRoom<std::string>;

constexpr std::string_view kUnix = "unix";

std::string_view Trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

/// As proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`.
std::optional<IpAddress> ParseElement(std::string_view text) noexcept {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    return end == text.npos ? std::nullopt : internal::ParseIpAddress(text.substr(1, end - 1));
  }
  const bool has_port = std::ranges::count(text, ':') == 1;
  return internal::ParseIpAddress(has_port ? text.substr(0, text.find(':')) : text);
}

std::string ToString(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  if (internal::IsIpv4(address)) {
    inet_ntop(AF_INET, address.data() + address.size() - 4, buffer.data(), buffer.size());
  } else {
    inet_ntop(AF_INET6, address.data(), buffer.data(), buffer.size());
  }
  return buffer.data();
}

/// The elements of a header, the last one first.
class FromTheEnd {
 public:
  FromTheEnd(const MetadataView& metadata, std::string_view header) {
    metadata.ForEach(header, [&](std::string_view value) { values_.push_back(value); });
  }

  /// Nothing: no more, or one that is no address.
  std::optional<IpAddress> Next() {
    if (values_.empty()) return std::nullopt;
    std::string_view& value = values_.back();
    const std::size_t comma = value.rfind(',');
    const std::string_view element = value.substr(comma + 1);  // npos + 1 is 0
    if (comma == value.npos) {
      values_.pop_back();
    } else {
      value = value.substr(0, comma);
    }
    return ParseElement(Trimmed(element));
  }

 private:
  std::vector<std::string_view> values_;
};

class RealPeerMiddleware final : public Middleware {
 public:
  RealPeerMiddleware(RealPeerOptions options, std::vector<Network> trusted)
      : options_(std::move(options)),
        trusted_(std::move(trusted)),
        trusts_unix_(std::ranges::find(options_.trusted, kUnix) != options_.trusted.end()) {}

  std::string_view name() const noexcept override { return "real_peer"; }
  HookSet hooks() const noexcept override { return HooksOf<RealPeerMiddleware>(); }
  CallStateType call_state() const noexcept override { return RealPeerRoom::State(); }

  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    if (call.side() == CallSide::kClient) return;
    FromTheEnd header(metadata, options_.header);
    const std::string& connection = call.peer();
    const auto address = internal::AddressOfPeer(connection);
    std::optional<IpAddress> real;
    if (options_.hops > 0) {
      real = ByHops(address, header);
    } else if (address || (trusts_unix_ && connection.starts_with(kUnix))) {
      real = ByNetworks(address, header);
    }
    if (real) RealPeerRoom::Fill(call, kRealPeerKey, ToString(*real));
  }

 private:
  std::optional<IpAddress> ByHops(std::optional<IpAddress> connection, FromTheEnd& header) const {
    std::optional<IpAddress> named;
    for (int i = 0; i < options_.hops; ++i) {
      named = header.Next();
      if (!named) return connection;
    }
    return named;
  }

  // Without an address it is a trusted Unix socket.
  std::optional<IpAddress> ByNetworks(std::optional<IpAddress> peer, FromTheEnd& header) const {
    while (!peer || Trusts(*peer)) {
      const auto named = header.Next();
      if (!named) break;
      peer = named;
    }
    return peer;
  }

  bool Trusts(const IpAddress& address) const noexcept {
    return std::ranges::any_of(trusted_, [&](const auto& net) { return net.Contains(address); });
  }

  RealPeerOptions options_;
  std::vector<Network> trusted_;
  bool trusts_unix_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Middleware>> RealPeer(RealPeerOptions options) {
  if (options.hops < 0) {
    return absl::InvalidArgumentError("hops is " + std::to_string(options.hops));
  }
  if (options.trusted.empty() == (options.hops == 0)) {
    return absl::InvalidArgumentError("exactly one of trusted and hops is to be set");
  }
  const char* const problem = MetadataProblem(options.header, "");
  if (problem != nullptr) {
    return absl::InvalidArgumentError("header '" + options.header + "': " + problem);
  }
  std::vector<Network> trusted;
  for (std::size_t i = 0; i < options.trusted.size(); ++i) {
    const std::string& text = options.trusted[i];
    if (text == kUnix) continue;
    const auto network = Network::Parse(text);
    if (!network) {
      return absl::InvalidArgumentError("trusted[" + std::to_string(i) + "] is no network: '" +
                                        text + "'");
    }
    trusted.push_back(*network);
  }
  return std::make_shared<RealPeerMiddleware>(std::move(options), std::move(trusted));
}

std::string_view RealPeerOf(ContextView context) noexcept {
  const std::string* const peer = context.Find(kRealPeerKey);
  return peer == nullptr ? std::string_view() : std::string_view(*peer);
}

std::string_view CurrentRealPeer() noexcept { return RealPeerOf(Context::View()); }

}  // namespace v0
}  // namespace weft
