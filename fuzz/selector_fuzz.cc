// SPDX-License-Identifier: Apache-2.0
// What any glob must do with any method: select what the plain definition of a glob selects. An
// input is a glob on the first line and a method behind it.
#include <string>
#include <vector>

#include <weft/interceptors/selector.h>

#include "fuzz.h"

namespace {

// By the prefixes of both.
bool MatchesByTable(std::string_view glob, std::string_view text) {
  std::vector<bool> row(text.size() + 1, false);
  row[0] = true;
  for (const char g : glob) {
    std::vector<bool> next(text.size() + 1, false);
    next[0] = g == '*' && row[0];
    for (std::size_t t = 1; t <= text.size(); ++t) {
      next[t] = g == '*' ? row[t] || next[t - 1] : row[t - 1] && (g == '?' || g == text[t - 1]);
    }
    row = std::move(next);
  }
  return row[text.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = weft::fuzz::Text(data, size);
  const std::string_view glob = weft::fuzz::TakeLine(text);
  const weft::Selector selector(glob);
  const bool selects = selector.Selects(text);
  weft::fuzz::Require(selects == MatchesByTable(glob, text), "a glob selects what it says");
  weft::fuzz::Require(weft::Not(selector).Selects(text) != selects, "Not selects the rest");
  return 0;
}
