// SPDX-License-Identifier: Apache-2.0
#include "header_index.h"

#include <iterator>

namespace weft {
inline namespace v0 {
namespace internal {

HeaderIndex::Pairs HeaderIndex::FindIn(const Map& map, std::string_view key) noexcept {
  const auto [first, last] = map.equal_range(grpc::string_ref(key.data(), key.size()));
  return {first, static_cast<std::size_t>(std::distance(first, last))};
}

HeaderIndex::Pairs HeaderIndex::FindOther(std::string_view key) const noexcept {
  return FindIf([=](const grpc::string_ref& other) {
    return std::string_view(other.data(), other.size()) == key;
  });
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
