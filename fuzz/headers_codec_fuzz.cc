// SPDX-License-Identifier: Apache-2.0
// What any line must do in `weft headers`: give one line of JSON, or a problem; and in the texts
// for a terminal: leave no control behind.
#include <algorithm>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>

#include "fuzz.h"
#include "headers_codec.h"
#include "run_view.h"
#include "text.h"

using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line = weft::fuzz::Text(data, size);
  boost::system::error_code error;
  const std::string decoded = weft::cli::DecodeHeadersLine(line);
  boost::json::parse(decoded, error);
  Require(!error && decoded.find('\n') == decoded.npos, "an answer is a line of JSON");
  std::vector<std::string> problems;
  weft::cli::EncodeHeadersLine(line, problems);
  for (const std::string& text :
       {weft::cli::EscapeControls(line), weft::cli::Truncate(line, 9, "~")}) {
    weft::cli::DisplayWidth(text);
  }
  const std::string shown = weft::cli::EscapeControls(line);
  Require(std::none_of(shown.begin(), shown.end(), [](char c) { return c == '\x1b' || c == '\n'; }),
          "a terminal gets no controls");
  const auto json = boost::json::parse(line, error);
  if (!error) weft::cli::ReadRun(json).IgnoreError();
  return 0;
}
