// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/prices.h>

#include <algorithm>

#include <weft/tracing/internal/glob.h>

namespace weft::collector {

std::optional<ModelPrice> Prices::Of(std::string_view model) const {
  std::shared_ptr<const std::vector<ModelPrice>> prices;
  {
    const std::lock_guard lock(mutex_);
    prices = prices_;
  }
  if (prices == nullptr) return std::nullopt;
  const auto found = std::find_if(prices->begin(), prices->end(), [&](const ModelPrice& price) {
    return internal::MatchesGlob(price.model, model);
  });
  return found == prices->end() ? std::nullopt : std::optional(*found);
}

}  // namespace weft::collector
