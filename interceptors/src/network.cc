// SPDX-License-Identifier: Apache-2.0
#include "network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMappedBits = 96;  // ::ffff:0:0/96
constexpr IpAddress kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// The part of `text` before `end`; all of it when there is no such text.
std::string_view Before(std::string_view text, std::string_view end) noexcept {
  return text.substr(0, text.find(end));
}

}  // namespace

bool IsIpv4(const IpAddress& address) noexcept {
  return std::equal(address.begin(), address.end() - 4, kMapped.begin());
}

std::optional<IpAddress> ParseIpAddress(std::string_view text) noexcept {
  text = Before(text, "%");
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size()) return std::nullopt;
  std::ranges::copy(text, terminated.begin());
  IpAddress address{};
  if (inet_pton(AF_INET6, terminated.data(), address.data()) == 1) return address;
  address = kMapped;
  if (inet_pton(AF_INET, terminated.data(), address.data() + kMappedBits / 8) == 1) return address;
  return std::nullopt;
}

std::optional<IpAddress> AddressOfPeer(std::string_view peer) noexcept {
  if (peer.starts_with("ipv4:")) return ParseIpAddress(Before(peer.substr(5), ":"));
  if (!peer.starts_with("ipv6:")) return std::nullopt;
  peer.remove_prefix(5);
  if (peer.starts_with('[')) return ParseIpAddress(Before(peer.substr(1), "]"));
  if (peer.starts_with("%5B")) return ParseIpAddress(Before(peer.substr(3), "%5D"));
  return std::nullopt;
}

std::optional<Network> Network::Parse(std::string_view text) noexcept {
  const std::string_view address_text = Before(text, "/");
  const std::optional<IpAddress> address = ParseIpAddress(address_text);
  if (!address || address_text.find('%') != address_text.npos) return std::nullopt;
  Network network{.address = *address, .bits = 128};
  if (address_text.size() == text.size()) return network;
  const std::string_view bits = text.substr(address_text.size() + 1);
  const auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), network.bits);
  if (error != std::errc() || end != bits.data() + bits.size()) return std::nullopt;
  const std::size_t offset = address_text.find(':') == address_text.npos ? kMappedBits : 0;
  if (network.bits > 128 - offset) return std::nullopt;
  network.bits += offset;
  return network;
}

bool Network::Contains(const IpAddress& other) const noexcept {
  const std::size_t whole = bits / 8;
  if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole),
                  other.begin())) {
    return false;
  }
  return bits % 8 == 0 || ((address[whole] ^ other[whole]) >> (8 - bits % 8)) == 0;
}

bool IsPrivate(const IpAddress& address) noexcept {
  constexpr auto kNetworks = std::to_array<std::string_view>(
      {"0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
       "172.16.0.0/12", "192.168.0.0/16", "::/127", "fc00::/7", "fe80::/10"});
  return std::ranges::any_of(kNetworks, [&](std::string_view text) {
    const auto network = Network::Parse(text);
    return network && network->Contains(address);
  });
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
