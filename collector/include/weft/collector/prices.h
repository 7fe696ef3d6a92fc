// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::collector {

/// What a model costs: US dollars for a million tokens.
struct ModelPrice {
  std::string model;  ///< `*` stands for anything: `gpt-4o-mini*`.
  double input = 0;
  double output = 0;
  std::optional<double> cache_read{};      ///< Of input tokens read from a cache; absent: `input`.
  std::optional<double> cache_creation{};  ///< Of those written to it; absent: `input`.
};

/// The prices by which the cost of spans is computed that tell tokens and no cost.
///
///     prices->Set({{.model = "gpt-4o-mini*", .input = 0.15, .output = 0.6}});
///
/// Threads: any; what is read while others set them is all old or all new.
class Prices {
 public:
  void Set(std::vector<ModelPrice> prices) {
    auto made = std::make_shared<const std::vector<ModelPrice>>(std::move(prices));
    const std::lock_guard lock(mutex_);
    empty_.store(made->empty(), std::memory_order_relaxed);
    prices_ = std::move(made);
  }

  /// Cost: no lock, for who has nothing to do without prices.
  bool empty() const noexcept { return empty_.load(std::memory_order_relaxed); }

  /// The first whose name fits.
  std::optional<ModelPrice> Of(std::string_view model) const;

 private:
  std::atomic<bool> empty_{true};
  mutable std::mutex mutex_;
  std::shared_ptr<const std::vector<ModelPrice>> prices_;
};

}  // namespace weft::collector
