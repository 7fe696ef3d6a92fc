// SPDX-License-Identifier: Apache-2.0
// What any text must do as an address, as a network and as gRPC's name of a peer: be refused, or be
// what the system takes it for.
#include <arpa/inet.h>

#include <string>

#include "fuzz.h"
#include "network.h"

using weft::fuzz::Require;
using weft::internal::IpAddress;
using weft::internal::Network;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  const auto address = weft::internal::ParseIpAddress(text);
  in6_addr raw;
  const std::string copy(text);
  if (text.find('\0') == text.npos && inet_pton(AF_INET6, copy.c_str(), &raw) == 1) {
    Require(address.has_value(), "an address of the system is one");
    Require(std::equal(address->begin(), address->end(), raw.s6_addr), "it is the same one");
  }
  if (address) weft::internal::IsPrivate(*address);
  weft::internal::AddressOfPeer(text);
  const auto network = Network::Parse(text);
  if (!network) return 0;
  Require(network->bits <= 128, "a network has at most 128 bits");
  Require(network->Contains(network->address), "a network contains its address");
  return 0;
}
