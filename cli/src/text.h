// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weft::cli {

/// `text` as it may be shown: control characters, bytes that are no UTF-8 and the characters that
/// turn the direction of text become `\x1b`, `\u202e`. What others named must not drive a terminal.
std::string EscapeControls(std::string_view text);

/// The same for JSON text: what JSON leaves as it is but a terminal obeys becomes `\u009b`.
std::string EscapeJsonForTerminal(std::string_view json);

/// Columns that `text` takes on a terminal.
std::size_t DisplayWidth(std::string_view text);

/// `text` cut to `columns`, with `ellipsis` at its end when something was cut.
std::string Truncate(std::string_view text, std::size_t columns, std::string_view ellipsis);

/// `text` with blanks up to `columns`, at its end or before it.
std::string PadRight(std::string_view text, std::size_t columns);
std::string PadLeft(std::string_view text, std::size_t columns);

/// `850 us`, `12 ms`, `1.24 s`, `3 min 20 s`.
std::string FormatDuration(std::int64_t microseconds);

/// `1,234,567`.
std::string FormatCount(std::int64_t count);

/// US dollars with four decimals, or two digits of less than a hundredth of a cent: `$1.2500`,
/// `$0.000012`.
std::string FormatCost(double dollars);

}  // namespace weft::cli
