// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "destinations/stage.h"

namespace weft::collector {

/// What waits behind a cursor, kept beside it in `cursors/NAME.waiting`. Saved before the cursor
/// moves, so that nothing is forgotten; what has gone meanwhile is sent twice after a crash.
class WaitingFile {
 public:
  WaitingFile() = default;
  WaitingFile(const std::filesystem::path& directory, const std::string& name)
      : path_(directory / "cursors" / (name + ".waiting")) {}

  /// Places before `end`; none when there is no file.
  std::vector<OpPlace> Load(Position end) const;
  /// Removes the file when nothing waits.
  absl::Status Save(const std::vector<OpPlace>& places);

 private:
  std::filesystem::path path_;
  bool is_empty_ = false;  ///< Known not to be there.
};

}  // namespace weft::collector
