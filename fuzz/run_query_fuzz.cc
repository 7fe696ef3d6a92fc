// SPDX-License-Identifier: Apache-2.0
// What any body must do as a query for runs: be refused with a reason, or have a sane limit.
#include "fuzz.h"
#include "langsmith/run_query.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  if (const auto time = NormalTime(text)) {
    Require(NormalTime(*time) == time, "a normal time stays");
  }
  const auto query = RunQuery::Parse(text);
  Require(query.ok() || !query.status().message().empty(), "an error has a text");
  return 0;
}
