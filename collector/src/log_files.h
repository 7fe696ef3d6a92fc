// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace weft::collector {

/// The calls through which bytes reach the disk. Tests replace it to make them fail.
///
/// Threads: any.
class FileSystem {
 public:
  struct Space {
    std::uint64_t free_bytes = 0;  ///< For a process without privileges.
    std::uint64_t total_bytes = 0;
  };

  virtual ~FileSystem() = default;

  /// As pwritev: may write less than it was given.
  virtual ssize_t Write(int fd, const iovec* parts, int count, off_t offset);
  /// As fdatasync.
  virtual int SyncData(int fd);
  /// As posix_fallocate from the start of the file: returns an error number or 0.
  virtual int Allocate(int fd, std::uint64_t size);
  virtual Space SpaceOf(const std::filesystem::path& directory);

  static FileSystem& Real();
};

/// Owns a file descriptor.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// "what PATH: reason", with the canonical code of the error number.
absl::Status FileError(std::string_view what, const std::filesystem::path& path, int error);

absl::StatusOr<File> OpenFile(const std::filesystem::path& path, int flags);

/// Reads up to `size` bytes at `offset`; fewer at the end of the file.
absl::StatusOr<std::size_t> ReadAt(int fd, std::uint64_t offset, char* out, std::size_t size);

/// Makes entries that were created, renamed or deleted in `directory` last.
absl::Status SyncDirectory(const std::filesystem::path& directory);

/// Creates `directory` and those above it, so that they last.
absl::Status MakeDirectory(const std::filesystem::path& directory);

/// Puts `content` in the place of `path`: after a crash there is the old file or the new one.
absl::Status ReplaceFile(const std::filesystem::path& path, std::string_view content);

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path);

/// Creates `directory` if need be and takes its lock, which is held until the file is closed. The
/// error names the directory, and the process that has it.
absl::StatusOr<File> LockDirectory(const std::filesystem::path& directory);

}  // namespace weft::collector
