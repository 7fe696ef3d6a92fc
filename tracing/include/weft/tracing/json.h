// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json.hpp>

namespace weft {
inline namespace v0 {

/// A JSON value in weft's interface: inputs, outputs and metadata of runs.
using Json = boost::json::value;
using JsonObject = boost::json::object;
using JsonArray = boost::json::array;

}  // namespace v0
}  // namespace weft
