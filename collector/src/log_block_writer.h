// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include <absl/status/status.h>

#include "log_files.h"

namespace weft::collector {

/// Appends to a file past the page cache: copies into it, and pages to copy into, are much of what
/// a log costs. The file gets whole blocks; the last one is written again, with more in it, until
/// it is full, and zeros behind the end.
///
/// Where the file system does not take that, writes go through the page cache. Readers may use it
/// in any case: the kernel keeps both in step.
///
/// Threads: one. Errors: after one, what the file has behind the end is not known.
class BlockWriter {
 public:
  explicit BlockWriter(FileSystem& files);

  /// Goes on at byte `end` of the file, which must have as many.
  absl::Status Open(const std::filesystem::path& path, std::uint64_t end);

  /// Not synced.
  absl::Status Append(std::span<const std::string_view> parts);

  int fd() const { return file_.fd(); }

 private:
  absl::Status Flush();
  absl::Status WriteAt(std::uint64_t offset, std::string_view bytes);
  bool UsePageCache();

  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };

  FileSystem& files_;
  File file_;
  bool direct_ = false;
  std::unique_ptr<char, Free> buffer_;
  std::uint64_t base_ = 0;  ///< Where the buffer begins in the file: at a block.
  std::size_t used_ = 0;
};

}  // namespace weft::collector
