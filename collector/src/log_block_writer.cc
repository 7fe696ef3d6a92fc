// SPDX-License-Identifier: Apache-2.0
#include "log_block_writer.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weft::collector {
namespace {

// No device has larger ones.
constexpr std::size_t kBlock = 4096;
// A group goes in one write, with what its first and last block have besides. A page of the larger
// kind, which the kernel hands to the device as one piece instead of 512.
constexpr std::size_t kBufferBytes = 2 << 20;

std::uint64_t BlockOf(std::uint64_t offset) { return offset & ~std::uint64_t{kBlock - 1}; }

}  // namespace

BlockWriter::BlockWriter(FileSystem& files)
    : files_(files), buffer_(static_cast<char*>(std::aligned_alloc(kBufferBytes, kBufferBytes))) {
  // Where there are no such pages, small ones do, too.
  if (buffer_) ::madvise(buffer_.get(), kBufferBytes, MADV_HUGEPAGE);
}

absl::Status BlockWriter::Open(const std::filesystem::path& path, std::uint64_t end) {
  absl::StatusOr<File> file = OpenFile(path, O_RDWR | O_DIRECT);
  direct_ = file.ok();
  if (!direct_) file = OpenFile(path, O_RDWR);
  const absl::StatusOr<File> reader = OpenFile(path, O_RDONLY);
  for (const absl::Status& status : {file.status(), reader.status()}) {
    if (!status.ok()) return status;
  }
  file_ = *std::move(file);
  base_ = BlockOf(end);
  used_ = static_cast<std::size_t>(end - base_);
  const absl::StatusOr<std::size_t> got = ReadAt(reader->fd(), base_, buffer_.get(), used_);
  if (!got.ok()) return got.status();
  return *got == used_ ? absl::OkStatus() : absl::DataLossError("the file is too short");
}

absl::Status BlockWriter::Append(std::span<const std::string_view> parts) {
  for (std::string_view part : parts) {
    while (!part.empty()) {
      const std::size_t size = std::min(part.size(), kBufferBytes - used_);
      std::memcpy(buffer_.get() + used_, part.data(), size);
      used_ += size;
      part.remove_prefix(size);
      if (used_ < kBufferBytes) continue;
      if (absl::Status status = Flush(); !status.ok()) return status;
    }
  }
  return Flush();
}

// The last block, if it is not full, stays in the buffer.
absl::Status BlockWriter::Flush() {
  const auto full = static_cast<std::size_t>(BlockOf(used_));
  const std::size_t padded = used_ > full ? full + kBlock : full;
  std::memset(buffer_.get() + used_, 0, padded - used_);
  absl::Status status = WriteAt(base_, {buffer_.get(), padded});
  if (!status.ok()) return status;
  std::memmove(buffer_.get(), buffer_.get() + full, used_ - full);
  base_ += full;
  used_ -= full;
  return absl::OkStatus();
}

absl::Status BlockWriter::WriteAt(std::uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    const ssize_t put = files_.Write(file_.fd(), &part, 1, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EINVAL && UsePageCache()) continue;
    if (put <= 0) return absl::ErrnoToStatus(put < 0 ? errno : EIO, "write failed");
    offset += static_cast<std::uint64_t>(put);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return absl::OkStatus();
}

// Not all file systems say at once that they cannot, and a write may end within a block.
bool BlockWriter::UsePageCache() {
  if (!std::exchange(direct_, false)) return false;
  const int flags = ::fcntl(file_.fd(), F_GETFL);
  return flags >= 0 && ::fcntl(file_.fd(), F_SETFL, flags & ~O_DIRECT) == 0;
}

}  // namespace weft::collector
