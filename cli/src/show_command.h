// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft show`: the runs of a trace as a tree. Returns the exit code.
int ShowCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

/// `weft export`: the runs of a trace as JSON lines. Returns the exit code.
int ExportCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
