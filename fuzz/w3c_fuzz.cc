// SPDX-License-Identifier: Apache-2.0
// What any text must do as traceparent and as tracestate: be refused, or be normal afterwards.
#include "fuzz.h"
#include "w3c.h"

using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  weft::internal::ParseTraceparent(text);
  if (const auto state = weft::internal::NormalizeTracestate(text)) {
    Require(weft::internal::NormalizeTracestate(*state) == state, "a normal tracestate stays");
    for (const char c : *state) Require(c >= ' ' && c <= '~', "a tracestate is legal metadata");
  }
  return 0;
}
