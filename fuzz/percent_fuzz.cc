// SPDX-License-Identifier: Apache-2.0
// What any bytes must do as a percent-encoded text: become UTF-8 that survives being encoded.
#include <string>

#include "fuzz.h"
#include "percent.h"
#include "utf8.h"

using weft::fuzz::Require;
using weft::internal::PercentDecode;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  Require(weft::internal::IsValidUtf8(PercentDecode(text).text), "what is decoded is UTF-8");
  const std::string valid = weft::internal::ToValidUtf8(text);
  Require(weft::internal::IsValidUtf8(valid), "what is mended is UTF-8");
  Require(weft::internal::IsValidUtf8(text) == (valid == text), "valid UTF-8 stays");
  std::string encoded;
  weft::internal::AppendPercentEncoded(encoded, valid);
  for (const char c : encoded) Require(c > ' ' && c <= '~', "what is encoded is legal metadata");
  const auto decoded = PercentDecode(encoded);
  Require(decoded.text == valid && !decoded.bad_escape && !decoded.invalid_utf8,
          "what is encoded can be decoded");
  return 0;
}
