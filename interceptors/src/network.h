// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// An IP address; of version 4 as `::ffff:a.b.c.d`, as sockets for both versions have it.
using IpAddress = std::array<std::uint8_t, 16>;

bool IsIpv4(const IpAddress& address) noexcept;

/// Nothing for what is no address; without brackets, a scope (`%eth0`) is left out.
std::optional<IpAddress> ParseIpAddress(std::string_view text) noexcept;

/// The address in gRPC's name of a peer, `ipv4:1.2.3.4:5` or `ipv6:[::1]:5` (also percent-encoded).
std::optional<IpAddress> AddressOfPeer(std::string_view peer) noexcept;

/// The addresses that begin with the same bits.
struct Network {
  IpAddress address{};
  std::size_t bits = 0;

  /// `10.0.0.0/8`, or an address alone.
  static std::optional<Network> Parse(std::string_view text) noexcept;
  bool Contains(const IpAddress& other) const noexcept;
};

/// Loopback, link-local and private networks.
bool IsPrivate(const IpAddress& address) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
