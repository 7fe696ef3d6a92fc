// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iterator>
#include <string_view>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Pairs that are next to each other, for received metadata is in the order of its keys.
struct ReceivedPairs {
  MetadataView::Map::const_iterator first{};  // of `count`
  std::size_t count = 0;
};

inline std::string_view KeyAt(MetadataView::Map::const_iterator at) noexcept {
  return {at->first.data(), at->first.size()};
}

/// The pairs whose key `fits`: it begins with `name`, and all such are next to each other.
template <typename Fits>
ReceivedPairs PairsFrom(const MetadataView::Map& map, std::string_view name, Fits fits) noexcept {
  ReceivedPairs pairs{map.lower_bound(grpc::string_ref(name.data(), name.size()))};
  for (auto at = pairs.first; at != map.end() && fits(KeyAt(at)); ++at) ++pairs.count;
  return pairs;
}

inline bool IsAfter(std::string_view key, std::string_view name) noexcept {
  if (key.empty() || name.empty() || key.front() == name.front()) return key > name;
  return static_cast<unsigned char>(key.front()) > static_cast<unsigned char>(name.front());
}

/// The pairs whose key is `name`.
///
/// Cost: looks at some pairs from the end on, where names of applications (`x-...`) mostly are, and
///   mostly at their lengths and first characters only: a search from the middle compares several
///   whole keys.
inline ReceivedPairs PairsOf(const MetadataView::Map& map, std::string_view name) noexcept {
  constexpr int kMostSteps = 8;
  const auto fits = [name](std::string_view key) { return key == name; };
  auto at = map.end();
  for (int step = 0; step < kMostSteps; ++step) {
    if (at == map.begin()) return {};
    --at;
    if (fits(KeyAt(at))) {
      ReceivedPairs pairs{at, 1};
      for (; at != map.begin() && fits(KeyAt(--at)); ++pairs.count) pairs.first = at;
      return pairs;
    }
    if (!IsAfter(KeyAt(at), name)) return {};
  }
  return PairsFrom(map, name, fits);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
