// SPDX-License-Identifier: Apache-2.0
#include "log_read_ahead.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weft::collector {
namespace {

// No device has larger ones.
constexpr std::size_t kBlock = 4096;
constexpr std::uint64_t kInBlock = kBlock - 1;

}  // namespace

std::string_view ReadAhead::Bytes(std::uint64_t segment, const std::filesystem::path& path,
                                  std::uint64_t offset, std::size_t size, std::uint64_t limit) {
  if (size > kBytes - kBlock || offset > limit || size > limit - offset) return {};
  if (segment != segment_ && !Open(segment, path)) return {};
  if (offset < begin_ || offset + size > end_) Fill(offset, limit);
  if (offset < begin_ || offset + size > end_) return {};
  return {buffer_.get() + (offset - begin_), static_cast<std::size_t>(end_ - offset)};
}

bool ReadAhead::Open(std::uint64_t segment, const std::filesystem::path& path) {
  if (refused_) return false;
  begin_ = end_ = 0;
  segment_ = 0;
  absl::StatusOr<File> file = OpenFile(path, O_RDONLY | O_DIRECT);
  if (!buffer_) {
    buffer_.reset(static_cast<char*>(std::aligned_alloc(kBytes, kBytes)));
    // Where there are no such pages, small ones do, too.
    if (buffer_) ::madvise(buffer_.get(), kBytes, MADV_HUGEPAGE);
  }
  refused_ = absl::IsInvalidArgument(file.status()) || !buffer_;
  if (refused_ || !file.ok()) return false;
  file_ = *std::move(file);
  segment_ = segment;
  return true;
}

void ReadAhead::Fill(std::uint64_t offset, std::uint64_t limit) {
  begin_ = end_ = offset & ~kInBlock;
  const auto size = static_cast<std::size_t>(
      std::min<std::uint64_t>(kBytes, (limit - begin_ + kInBlock) & ~kInBlock));
  ssize_t got = -1;
  do {
    got = ::pread(file_.fd(), buffer_.get(), size, static_cast<off_t>(begin_));
  } while (got < 0 && errno == EINTR);
  // Not all file systems say so when the file is opened.
  refused_ = got < 0 && errno == EINVAL;
  if (refused_) segment_ = 0;
  // Behind the limit the last block may be half of what is being written there.
  if (got > 0) end_ = std::min(begin_ + static_cast<std::uint64_t>(got), limit);
}

}  // namespace weft::collector
