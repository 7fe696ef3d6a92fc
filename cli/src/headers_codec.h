// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/trace_headers.h>

namespace weft::cli {

/// Names and values in their order; a name may come several times.
using HeaderFields = std::vector<std::pair<std::string, std::string>>;

/// The headers of a JSON object: name to value, or to a list of values. What is neither is named in
/// `problems`.
HeaderFields ReadHeadersLine(std::string_view line, JsonArray& problems);

/// What received headers said, as `weft headers decode` prints it, without the problems.
JsonObject DescribeHeaders(const ParsedHeaders& parsed);

/// A line of `weft headers decode`: JSON of received headers in, JSON of what they say out.
std::string DecodeHeadersLine(std::string_view line);

/// A line of `weft headers encode`: JSON of a run's context in, JSON of the headers to send out.
/// Values that cannot be sent are left out and named in `problems`.
std::string EncodeHeadersLine(std::string_view line, std::vector<std::string>& problems);

}  // namespace weft::cli
