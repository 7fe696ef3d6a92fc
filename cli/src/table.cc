// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <algorithm>
#include <numeric>
#include <ostream>

#include "text.h"

namespace weft::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kSmallestFirstColumn = 24;

std::size_t Total(const std::vector<std::size_t>& widths) {
  std::size_t total = 0;
  for (const std::size_t width : widths) total += width == 0 ? 0 : width + kGap;
  return total - kGap;
}

}  // namespace

/// 0 for a column that is left out: because it is empty, or because there is no room.
std::vector<std::size_t> Table::Widths(const Style& style) const {
  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const Row& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      widths[i] = std::max(widths[i], DisplayWidth(row.cells[i].text));
    }
  }
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] > 0 || i == 0) widths[i] = std::max(widths[i], columns_[i].title.size());
  }
  if (!style.width) return widths;
  const auto fits = [&] {
    std::vector<std::size_t> smallest = widths;
    smallest[0] = std::min(smallest[0], kSmallestFirstColumn);
    return Total(smallest) <= *style.width;
  };
  while (!fits()) {
    std::size_t last = 0;
    for (std::size_t i = 1; i < widths.size(); ++i) {
      if (widths[i] > 0 && columns_[i].drop > (last == 0 ? 0 : columns_[last].drop)) last = i;
    }
    if (last == 0) break;
    widths[last] = 0;
  }
  const std::size_t total = Total(widths);
  if (total > *style.width) {
    const std::size_t excess = total - *style.width;
    widths[0] = widths[0] > excess + 8 ? widths[0] - excess : std::min<std::size_t>(widths[0], 8);
  }
  return widths;
}

std::string Table::Line(const Style& style, const std::vector<std::size_t>& widths,
                        const Row& row) const {
  std::string line;
  std::size_t pending = 0;  // Blanks are written only before text, so that no line ends in them.
  for (std::size_t i = 0; i < row.cells.size(); ++i) {
    if (widths[i] == 0) continue;
    const Cell& cell = row.cells[i];
    const std::string text = Truncate(cell.text, widths[i], style.unicode ? "…" : "..");
    const std::size_t blanks = widths[i] - std::min(widths[i], DisplayWidth(text));
    if (columns_[i].right) pending += blanks;
    if (!text.empty()) {
      const std::optional<Colour> colour = cell.colour ? cell.colour : columns_[i].colour;
      line += std::string(pending, ' ') + (colour ? Paint(style, *colour, text) : text);
      pending = 0;
    }
    pending += columns_[i].right ? kGap : blanks + kGap;
  }
  return line;
}

void Table::Print(const Style& style, std::ostream& out) const {
  const std::vector<std::size_t> widths = Widths(style);
  Row titles;
  for (const Column& column : columns_) {
    titles.cells.push_back({std::string(column.title), Colour::kDim});
  }
  out << Line(style, widths, titles) << "\n";
  for (const Row& row : rows_) {
    out << Line(style, widths, row) << "\n";
    if (row.note.empty()) continue;
    const std::size_t indent = DisplayWidth(row.note_indent);
    const std::string note = style.width
                                 ? Truncate(row.note, *style.width - std::min(*style.width, indent),
                                            style.unicode ? "…" : "..")
                                 : row.note;
    out << row.note_indent << Paint(style, Colour::kRed, note) << "\n";
  }
}

}  // namespace weft::cli
