// SPDX-License-Identifier: Apache-2.0
// What any text must do in ParseJson: be refused, or be a value that is written and read back.
#include <boost/json/serialize.hpp>

#include <weft/tracing/json.h>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto value = weft::ParseJson(weft::fuzz::Text(data, size));
  if (!value) return 0;
  const std::string written = boost::json::serialize(*value);
  const auto again = weft::ParseJson(written);
  weft::fuzz::Require(again.has_value(), "what is written can be read");
  weft::fuzz::Require(boost::json::serialize(*again) == written, "it stays the same");
  return 0;
}
