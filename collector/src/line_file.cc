// SPDX-License-Identifier: Apache-2.0
#include "line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace weft::collector {
namespace {

// The offset behind the last newline.
absl::StatusOr<std::uint64_t> EndOfLastLine(const File& file, std::uint64_t size) {
  std::array<char, 65536> block;
  while (size > 0) {
    const std::uint64_t start = size - std::min<std::uint64_t>(size, block.size());
    absl::StatusOr<std::size_t> got = ReadAt(file.fd(), start, block.data(), size - start);
    if (!got.ok()) return got.status();
    const std::size_t newline = std::string_view(block.data(), *got).rfind('\n');
    if (newline != std::string_view::npos) return start + newline + 1;
    size = start;
  }
  return 0;
}

}  // namespace

absl::StatusOr<LineFile> LineFile::Open(std::filesystem::path path) {
  LineFile opened;
  opened.path_ = std::filesystem::absolute(path);
  absl::StatusOr<File> file = OpenFile(opened.path_, O_RDWR | O_APPEND | O_CREAT);
  // A pipe or a terminal may be for writing only.
  if (!file.ok()) file = OpenFile(opened.path_, O_WRONLY | O_APPEND | O_NONBLOCK);
  if (!file.ok()) return file.status();
  opened.file_ = *std::move(file);
  struct stat info {};
  if (::fstat(opened.file_.fd(), &info) != 0) {
    return FileError("cannot open", opened.path_, errno);
  }
  opened.regular_ = S_ISREG(info.st_mode);
  if (!opened.regular_) return opened;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  absl::StatusOr<std::uint64_t> end = EndOfLastLine(opened.file_, size);
  if (!end.ok()) return end.status();
  if (*end != size && ::ftruncate(opened.file_.fd(), static_cast<off_t>(*end)) != 0) {
    return FileError("cannot cut", opened.path_, errno);
  }
  opened.size_ = *end;
  if (absl::Status status = SyncDirectory(opened.path_.parent_path()); !status.ok()) return status;
  return opened;
}

absl::Status LineFile::Append(std::string_view lines) {
  for (std::string_view rest = lines; !rest.empty();) {
    const ssize_t put = ::write(file_.fd(), rest.data(), rest.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const absl::Status status = FileError("cannot write", path_, errno);
      if (regular_ && ::ftruncate(file_.fd(), static_cast<off_t>(size_)) != 0) {
        return FileError("cannot cut a half-written line of", path_, errno);
      }
      return status;
    }
    rest.remove_prefix(static_cast<std::size_t>(put));
  }
  size_ += lines.size();
  return absl::OkStatus();
}

absl::Status LineFile::Cut(std::uint64_t size) {
  if (::ftruncate(file_.fd(), static_cast<off_t>(size)) != 0) {
    return FileError("cannot cut", path_, errno);
  }
  size_ = size;
  return absl::OkStatus();
}

absl::Status LineFile::Measure() {
  struct stat info {};
  if (::fstat(file_.fd(), &info) != 0) return FileError("cannot read", path_, errno);
  size_ = static_cast<std::uint64_t>(info.st_size);
  return absl::OkStatus();
}

absl::Status LineFile::Sync() {
  if (!regular_ || ::fdatasync(file_.fd()) == 0) return absl::OkStatus();
  return FileError("cannot sync", path_, errno);
}

}  // namespace weft::collector
