// SPDX-License-Identifier: Apache-2.0
// What any target of an HTTP request must do: name a route whose methods are known, and parameters
// without controls left to trip over.
#include "fuzz.h"
#include "http/message.h"
#include "http/target.h"

#include <weft/tracing/json.h>

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  const Target target = ParseTarget(text);
  Require(target.id.size() + target.query.size() <= text.size(), "a target grows nothing");
  for (const char* name : {"id", "name", "limit", ""}) {
    const auto value = target.Parameter(name);
    Require(!value || value->size() <= text.size(), "a parameter is part of the query");
  }
  Require(!AllowedMethods(target.route).empty(), "a route has methods");
  Require(weft::ParseJson(JsonQuoted(target.name)).has_value(), "a name can be quoted");
  return 0;
}
