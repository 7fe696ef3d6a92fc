// SPDX-License-Identifier: Apache-2.0
#include <cinttypes>
#include <cstdio>

#include <absl/strings/str_cat.h>

#include <weft/collector/log.h>

#include "log_files.h"

namespace weft::collector {
namespace {

constexpr char kFormat[] = "weft-cursor 1 %" PRIu64 " %" PRIu64 " %" PRIu64 "\n";

}  // namespace

absl::StatusOr<Cursor> Cursor::Load(const std::filesystem::path& directory, const std::string& name,
                                    Position start) {
  Cursor cursor;
  cursor.path_ = directory / "cursors" / name;
  cursor.position_ = start;
  if (absl::Status status = MakeDirectory(cursor.path_.parent_path()); !status.ok()) return status;
  absl::StatusOr<std::string> content = ReadFile(cursor.path_);
  if (absl::IsNotFound(content.status())) return cursor;
  if (!content.ok()) return content.status();
  Position& at = cursor.position_;
  if (std::sscanf(content->c_str(), kFormat, &at.segment, &at.offset, &at.seq) != 3) {
    // Sending twice is allowed, losing is not, and a start must not need a hand.
    at = start;
  }
  return cursor;
}

absl::Status Cursor::Save(Position position) {
  char text[96];
  int size =
      std::snprintf(text, sizeof text, kFormat, position.segment, position.offset, position.seq);
  absl::Status status = ReplaceFile(path_, {text, static_cast<std::size_t>(size)});
  if (status.ok()) position_ = position;
  return status;
}

}  // namespace weft::collector
