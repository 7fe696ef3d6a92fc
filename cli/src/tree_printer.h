// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <span>

#include "run_view.h"
#include "terminal.h"
#include "usage.h"

namespace weft::cli {

/// Prints the runs of a trace as a tree with times, status, tokens and cost, below a line of sums.
///
///     research                    chain            research-ask        0 us  61.2 ms success └─
///     Gateway/Ask              client unary     research-ask      110 us  61.0 ms success
///
/// `counted`: whose usage the sums have. A run whose parent is not among the runs stands at the
/// top. Order: by start. What others named is shown without control characters.
void PrintTree(std::span<const RunView> runs, const Style& style, std::ostream& out,
               CountedRuns counted = CountedRuns::kLeaves);

}  // namespace weft::cli
