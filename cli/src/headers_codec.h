// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weft::cli {

/// A line of `weft headers decode`: JSON of received headers in, JSON of what they say out.
std::string DecodeHeadersLine(std::string_view line);

/// A line of `weft headers encode`: JSON of a run's context in, JSON of the headers to send out.
/// Values that cannot be sent are left out and named in `problems`.
std::string EncodeHeadersLine(std::string_view line, std::vector<std::string>& problems);

}  // namespace weft::cli
