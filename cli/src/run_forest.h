// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "run_view.h"

namespace weft::cli {

/// Who called whom, as indices of runs.
struct RunForest {
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  std::vector<std::size_t> roots;                  ///< Those without a parent here, by start.
  std::vector<std::vector<std::size_t>> children;  ///< Of each run, by start.
  std::vector<std::size_t> parents;                ///< Of each run; kNone: it is a root.

  /// Every run, parents before their children. The last ones may be on a cycle of parents.
  std::vector<std::size_t> TopDown() const;
};

RunForest Grow(std::span<const RunView> runs);

}  // namespace weft::cli
