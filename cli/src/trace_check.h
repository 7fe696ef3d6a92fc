// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "run_view.h"

namespace weft::cli {

/// What a trace must show to count as complete.
struct TraceExpectation {
  std::vector<std::string> rpc_kinds;    ///< Each on both sides.
  std::vector<std::string> server_apis;  ///< Each at least once.
  std::size_t processes = 1;
  std::size_t services = 1;
};

/// What keeps a trace from being complete, a sentence each.
struct TraceProblems {
  std::vector<std::string> missing;  ///< May still come, or is wrong.
  std::vector<std::string> failed;   ///< Runs that ended with an error.
};

/// Checks the runs of one trace. No problems: it is complete.
///
/// Complete means: one root, every parent present, every run ended without an error and with its
/// service and process; every side of an RPC says which; every server run hangs on the client run
/// of the same method in another process; some local step hangs on a server run.
TraceProblems CheckTrace(std::span<const RunView> runs, const TraceExpectation& expectation);

}  // namespace weft::cli
