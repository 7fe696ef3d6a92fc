// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"

namespace weft::cli {

/// `weft exec`: runs a program as a run, and names that run in its environment. Returns the
/// program's exit code, or 128 + the signal that ended it; 127 and 126 as shells do.
///
/// Threads: while it runs, the signals that it passes on are blocked in this thread and those that
///   it starts.
int ExecCommand(Args args, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
