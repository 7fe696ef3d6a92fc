// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft ls`: the traces of a collector, newest first. Returns the exit code.
int LsCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
