// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <boost/json.hpp>

namespace weft {
inline namespace v0 {

/// A JSON value in weft's interface: inputs, outputs and metadata of runs.
using Json = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;

/// How deep ParseJson follows: destroying a value recurses, and fibers have small stacks.
inline constexpr std::size_t kMaxParsedJsonDepth = 256;

/// Reads one JSON text; nothing when it is none or nests too deep.
///
/// Unlike boost::json::parse of Boost 1.81 it rounds numbers correctly, reads one beyond the range
/// of a double as null, and takes a lone surrogate (`"\ud800"`, which JavaScript writes) for
/// U+FFFD.
///
/// Errors: none but the absent result. Cost: linear in the text.
std::optional<Json> ParseJson(std::string_view text);

}  // namespace v0
}  // namespace weft
