// SPDX-License-Identifier: Apache-2.0
#include "log_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <system_error>

#include <absl/strings/str_cat.h>

namespace weft::collector {

ssize_t FileSystem::Write(int fd, const iovec* parts, int count, off_t offset) {
  return ::pwritev(fd, parts, count, offset);
}

int FileSystem::SyncData(int fd) { return ::fdatasync(fd); }

int FileSystem::Allocate(int fd, std::uint64_t size) {
  return ::posix_fallocate(fd, 0, static_cast<off_t>(size));
}

FileSystem::Space FileSystem::SpaceOf(const std::filesystem::path& directory) {
  struct statvfs info {};
  if (::statvfs(directory.c_str(), &info) != 0) return {};
  return {.free_bytes = std::uint64_t{info.f_bavail} * info.f_frsize,
          .total_bytes = std::uint64_t{info.f_blocks} * info.f_frsize};
}

FileSystem& FileSystem::Real() {
  static FileSystem real;
  return real;
}

absl::Status FileError(std::string_view what, const std::filesystem::path& path, int error) {
  return absl::ErrnoToStatus(
      error, absl::StrCat(absl::string_view(what.data(), what.size()), " ", path.native()));
}

absl::StatusOr<File> OpenFile(const std::filesystem::path& path, int flags) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return FileError("cannot open", path, errno);
  return File(fd);
}

absl::StatusOr<std::size_t> ReadAt(int fd, std::uint64_t offset, char* out, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    ssize_t got = ::pread(fd, out + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "cannot read");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

absl::Status SyncDirectory(const std::filesystem::path& directory) {
  absl::StatusOr<File> file = OpenFile(directory, O_RDONLY | O_DIRECTORY);
  if (!file.ok()) return file.status();
  if (::fsync(file->fd()) != 0) return FileError("cannot sync", directory, errno);
  return absl::OkStatus();
}

absl::Status MakeDirectory(const std::filesystem::path& directory) {
  const std::filesystem::path parent = std::filesystem::absolute(directory).parent_path();
  std::filesystem::path first = parent;  // in which something new is
  std::error_code error;
  while (!std::filesystem::exists(first, error) && first.has_relative_path()) {
    first = first.parent_path();
  }
  const bool is_new = std::filesystem::create_directories(directory, error);
  // It will hold what agents said.
  if (is_new) std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  if (error) return FileError("cannot create directory", directory, error.value());
  // Also above one that was there: the process that made it may have died before it got here. A
  // folder that may not be read is not ours.
  for (std::filesystem::path above = parent;; above = above.parent_path()) {
    absl::Status status = SyncDirectory(above);
    if (!status.ok() && !absl::IsPermissionDenied(status)) return status;
    if (above == first) return absl::OkStatus();
  }
}

absl::Status ReplaceFile(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path fresh = path;
  fresh += ".new";
  {
    absl::StatusOr<File> file = OpenFile(fresh, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file.ok()) return file.status();
    for (std::size_t done = 0; done < content.size();) {
      ssize_t put = ::write(file->fd(), content.data() + done, content.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return FileError("cannot write", fresh, errno);
      done += static_cast<std::size_t>(put);
    }
    if (::fsync(file->fd()) != 0) return FileError("cannot sync", fresh, errno);
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return FileError("cannot replace", path, errno);
  return SyncDirectory(path.parent_path());
}

absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path) {
  absl::StatusOr<File> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) return file.status();
  struct stat info {};
  if (::fstat(file->fd(), &info) != 0) return FileError("cannot read", path, errno);
  std::string content(static_cast<std::size_t>(info.st_size), '\0');
  absl::StatusOr<std::size_t> size = ReadAt(file->fd(), 0, content.data(), content.size());
  if (!size.ok()) return size.status();
  content.resize(*size);
  return content;
}

absl::StatusOr<File> LockDirectory(const std::filesystem::path& directory) {
  if (absl::Status status = MakeDirectory(directory); !status.ok()) return status;
  std::filesystem::path path = directory / "LOCK";
  absl::StatusOr<File> file = OpenFile(path, O_RDWR | O_CREAT);
  if (!file.ok()) return file.status();
  if (::flock(file->fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("cannot lock", path, errno);
    absl::StatusOr<std::string> owner = ReadFile(path);
    return absl::FailedPreconditionError(
        absl::StrCat("data directory ", directory.native(), " is in use by process ",
                     owner.ok() && !owner->empty() ? *owner : "(unknown)"));
  }
  std::string pid = std::to_string(::getpid());
  if (::ftruncate(file->fd(), 0) != 0 ||
      ::pwrite(file->fd(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return FileError("cannot write", path, errno);
  }
  return file;
}

}  // namespace weft::collector
