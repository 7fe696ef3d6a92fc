// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// The whole `weft` command: chooses the subcommand and returns the exit code.
/// `args` leaves out the program's name.
int RunWeft(Args args, const Style& style, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
