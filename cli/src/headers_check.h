// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <weft/tracing/json.h>

#include "headers_codec.h"

namespace weft::cli {

/// What `weft headers check` finds out about one set of headers.
struct HeadersCheck {
  JsonObject facts;  ///< What `--json` prints; see docs/command-line.md.
  bool good = true;  ///< No problem, and every reader takes the same run for the caller.
};

/// `problems`: what was wrong before the headers were known.
HeadersCheck CheckHeaders(const HeaderFields& headers, JsonArray problems);

/// The facts in words, for people.
std::string ExplainHeaders(const HeadersCheck& check);

}  // namespace weft::cli
