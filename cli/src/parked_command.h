// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft parked`: what a collector put aside: lists it, shows it, sends it again, throws it away.
/// Returns the exit code.
int ParkedCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
