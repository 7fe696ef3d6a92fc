// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <weft/tracing/trace_baggage.h>

#include "header_problems.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Reads a value of the header `baggage` into `out`; what is malformed is left out and reported.
void ParseBaggage(std::string_view header, TraceBaggage& out, ProblemList& problems);

}  // namespace internal
}  // namespace v0
}  // namespace weft
