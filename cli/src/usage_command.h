// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft usage`: tokens and cost of traces, added up.
int UsageCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
