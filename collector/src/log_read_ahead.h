// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>

#include "log_files.h"

namespace weft::collector {

/// What a reader that follows the log has read of a segment past the page cache, in large pieces:
/// the pages of a backlog are read once, so to find room for them, and to copy them out, would be
/// most of what reading costs; and they would push out what others read again.
///
/// Threads: one at a time.
class ReadAhead {
 public:
  /// A page of the larger kind, which the kernel hands to the device as one piece instead of 512.
  static constexpr std::size_t kBytes = 2 << 20;

  /// `size` bytes at `offset` of the file, and what is known behind them, of a segment whose first
  /// `limit` bytes do not change any more. Empty where the file system does not take that, and for
  /// more than fits: then it has to be read in another way.
  std::string_view Bytes(std::uint64_t segment, const std::filesystem::path& path,
                         std::uint64_t offset, std::size_t size, std::uint64_t limit);

 private:
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };

  bool Open(std::uint64_t segment, const std::filesystem::path& path);
  void Fill(std::uint64_t offset, std::uint64_t limit);

  std::uint64_t segment_ = 0;
  File file_;
  std::unique_ptr<char, Free> buffer_;
  std::uint64_t begin_ = 0;  ///< Of the segment, what the buffer has: [begin_, end_).
  std::uint64_t end_ = 0;
  bool refused_ = false;
};

}  // namespace weft::collector
