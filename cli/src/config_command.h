// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "options.h"

namespace weft::cli {

/// `weft config init|validate|show`: writes, checks and explains the collector's configuration.
int ConfigCommand(Args args, std::ostream& out, std::ostream& err);

}  // namespace weft::cli
