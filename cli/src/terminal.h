// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weft::cli {

/// How results are shown.
struct Style {
  bool colour = false;
  bool unicode = true;
  bool terminal = false;             ///< Whether people, not programs, read it.
  std::optional<std::size_t> width;  ///< Columns; absent: as many as it takes.
};

enum class Colour { kDim, kRed, kGreen, kYellow, kCyan, kBold };

/// What suits the file descriptor: colour on a terminal without NO_COLOR, its width, and no other
/// characters than ASCII where the locale has no UTF-8.
Style StyleOf(int fd);

/// `text` in a colour, or as it is.
std::string Paint(const Style& style, Colour colour, std::string_view text);

}  // namespace weft::cli
