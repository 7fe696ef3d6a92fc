// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace weft::cli {

/// `weft collect`: runs a collector until SIGTERM or SIGINT. `args` without the subcommand's name.
/// Returns the exit status: 0 stopped, 1 cannot run, 2 wrong use, 78 wrong configuration.
///
/// Threads: call it before the process has others, for it blocks the signals it waits for.
int CollectCommand(std::span<const std::string_view> args);

}  // namespace weft::cli
