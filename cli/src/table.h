// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "terminal.h"

namespace weft::cli {

/// Lays out rows of text in columns that fit a terminal.
///
/// On a terminal too narrow, columns with the highest `drop` go first, then the first column is
/// cut.
class Table {
 public:
  struct Column {
    std::string_view title;
    bool right = false;  ///< Numbers.
    int drop = 0;        ///< 0: never left out.
    std::optional<Colour> colour{};
  };
  struct Cell {
    std::string text;  ///< Without control characters.
    std::optional<Colour> colour{};
  };
  struct Row {
    std::vector<Cell> cells;
    std::string note{};         ///< Printed below the row, cut to the width; empty for none.
    std::string note_indent{};  ///< Before the note.
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void Add(Row row) { rows_.push_back(std::move(row)); }
  void Print(const Style& style, std::ostream& out) const;

 private:
  std::vector<std::size_t> Widths(const Style& style) const;
  std::string Line(const Style& style, const std::vector<std::size_t>& widths,
                   const Row& row) const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace weft::cli
