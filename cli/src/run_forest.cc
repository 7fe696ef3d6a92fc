// SPDX-License-Identifier: Apache-2.0
#include "run_forest.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace weft::cli {

std::vector<std::size_t> RunForest::TopDown() const {
  std::vector<std::size_t> order = roots;
  order.reserve(parents.size());
  std::vector<bool> seen(parents.size());
  for (const std::size_t root : roots) seen[root] = true;
  const auto follow = [&](std::size_t next) {
    for (; next < order.size(); ++next) {
      for (const std::size_t child : children[order[next]]) {
        if (!seen[child]) order.push_back(child);
        seen[child] = true;
      }
    }
  };
  follow(0);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]) continue;
    seen[i] = true;
    order.push_back(i);
    follow(order.size() - 1);
  }
  return order;
}

RunForest Grow(std::span<const RunView> runs) {
  std::unordered_map<std::string_view, std::size_t> by_id;
  for (std::size_t i = 0; i < runs.size(); ++i) by_id.emplace(runs[i].id, i);
  RunForest forest;
  forest.children.resize(runs.size());
  forest.parents.resize(runs.size(), RunForest::kNone);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto parent = by_id.find(runs[i].parent_id);
    if (parent == by_id.end() || parent->second == i) {
      forest.roots.push_back(i);
    } else {
      forest.parents[i] = parent->second;
      forest.children[parent->second].push_back(i);
    }
  }
  const auto by_start = [runs](std::size_t a, std::size_t b) {
    return std::tie(runs[a].start_us, runs[a].dotted_order) <
           std::tie(runs[b].start_us, runs[b].dotted_order);
  };
  std::sort(forest.roots.begin(), forest.roots.end(), by_start);
  for (auto& children : forest.children) std::sort(children.begin(), children.end(), by_start);
  return forest;
}

}  // namespace weft::cli
