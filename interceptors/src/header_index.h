// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Finds received metadata, mostly by the lengths of the keys: several middlewares look for some
/// header in each call, and a search through the map compares whole keys.
class HeaderIndex {
 public:
  using Map = MetadataView::Map;
  using Pairs = MetadataView::Pairs;

  explicit HeaderIndex(const Map& map) noexcept : map_(map) {
    if (map.size() > kMost) return;
    for (auto at = map.begin(); at != map.end(); ++at) pairs_[size_++] = at;
  }

  MetadataView View() const noexcept { return {map_, map_.size() > kMost ? nullptr : this}; }

  Pairs Find(std::string_view key) const noexcept {
    const std::size_t size = key.size();
    // Few names are shorter or longer. Two words, perhaps in part the same, without a call.
    if (size < sizeof(std::uint64_t) || size > 2 * sizeof(std::uint64_t)) return FindOther(key);
    const std::size_t last = size - sizeof(std::uint64_t);
    const std::uint64_t head = WordAt(key.data());
    const std::uint64_t tail = WordAt(key.data() + last);
    return FindIf([=](const grpc::string_ref& other) {
      return other.size() == size && WordAt(other.data()) == head &&
             WordAt(other.data() + last) == tail;
    });
  }

  static Pairs FindIn(const Map& map, std::string_view key) noexcept;

 private:
  static constexpr std::size_t kMost = 24;

  static std::uint64_t WordAt(const char* text) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, text, sizeof(word));
    return word;
  }

  // From the end on, where names of applications (`x-...`) mostly are.
  template <typename Fits>
  Pairs FindIf(Fits fits) const noexcept {
    Pairs pairs;
    for (std::size_t left = size_; left != 0; --left) {
      const Map::const_iterator at = pairs_[left - 1];
      if (fits(at->first)) {
        pairs.first = at;
        ++pairs.count;
      } else if (pairs.count != 0) {
        break;
      }
    }
    return pairs;
  }
  Pairs FindOther(std::string_view key) const noexcept;

  const Map& map_;
  std::size_t size_ = 0;
  std::array<Map::const_iterator, kMost> pairs_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
