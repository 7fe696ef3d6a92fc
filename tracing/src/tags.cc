// SPDX-License-Identifier: Apache-2.0
#include "tags.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include <absl/container/flat_hash_set.h>
#include <absl/strings/string_view.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// So many are found faster by looking at each.
constexpr std::size_t kFew = 32;

absl::string_view View(const std::string& tag) noexcept { return {tag.data(), tag.size()}; }

}  // namespace

void MergeTags(std::vector<std::string>& into, const std::vector<std::string>& from) {
  if (into.size() + from.size() <= kFew) {
    for (const std::string& tag : from) {
      if (std::find(into.begin(), into.end(), tag) == into.end()) into.push_back(tag);
    }
    return;
  }
  // A caller's header has room for thousands. The set's hashes are not to be foreseen.
  absl::flat_hash_set<absl::string_view> known;
  known.reserve(into.size() + from.size());
  for (const std::string& tag : into) known.insert(View(tag));
  std::vector<std::string> fresh;
  for (const std::string& tag : from) {
    if (known.insert(View(tag)).second) fresh.push_back(tag);
  }
  into.insert(into.end(), std::make_move_iterator(fresh.begin()),
              std::make_move_iterator(fresh.end()));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
