// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"
#include "terminal.h"

namespace weft::cli {

/// `weft doctor`: says whether a collector can run here, and what to do where it cannot.
int DoctorCommand(Args args, const Style& style, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
