// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft demo`: a collector, a team of agents and one question, shown as a trace. Returns the exit
/// code. Blocks SIGINT, SIGTERM and SIGHUP in this process: they end the demo and its children.
int DemoCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
