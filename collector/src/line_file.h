// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>

#include <absl/status/statusor.h>

#include "log_files.h"

namespace weft::collector {

/// A file of lines that only grows, mode 0600. Devices and pipes are taken as they are.
///
/// Threads: one at a time.
class LineFile {
 public:
  /// Cuts what follows the last newline: a line that a crash left unfinished.
  static absl::StatusOr<LineFile> Open(std::filesystem::path path);

  /// Appends all of `lines` or, as far as the file can be cut again, nothing.
  absl::Status Append(std::string_view lines);

  /// Takes back what is behind `size` bytes, which Append put there.
  absl::Status Cut(std::uint64_t size);

  /// Makes what was appended last. Nothing for what is no regular file.
  absl::Status Sync();

  /// Takes note of what others appended since Open.
  absl::Status Measure();

  /// Reads up to `size` bytes at `offset`; fewer at the end.
  absl::StatusOr<std::size_t> ReadAt(std::uint64_t offset, char* out, std::size_t size) const {
    return collector::ReadAt(file_.fd(), offset, out, size);
  }

  std::uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  File file_;
  std::uint64_t size_ = 0;
  bool regular_ = true;
};

}  // namespace weft::collector
