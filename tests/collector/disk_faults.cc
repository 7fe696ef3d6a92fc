// SPDX-License-Identifier: Apache-2.0
#include "disk_faults.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace weft::collector {
namespace {

namespace fs = std::filesystem;

std::atomic<std::int64_t> clock_ahead_s{0};

// The C library's own. Looked up at the call: others call before this file's variables are made.
#define REAL(name) reinterpret_cast<decltype(&::name)>(::dlsym(RTLD_NEXT, #name))

std::string PathOf(int fd) {
  std::array<char, PATH_MAX> path;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : std::string();
}

ino_t InodeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// What is durable. Files are kept by inode: a name may come to mean another one.
class Mirror {
 public:
  Mirror(const fs::path& directory, fs::path mirror)
      : root_(directory), mirror_(std::move(mirror)) {
    for (const char* folder : {"files", "folders", "kept"})
      fs::create_directories(mirror_ / folder);
    SaveFolder(root_);
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      entry.is_directory() ? SaveFolder(entry.path()) : SaveFile(entry.path());
    }
  }

  void OnSynced(const fs::path& path) {
    fs::is_directory(path) ? SaveFolder(path) : SaveFile(path);
  }

  // Its number must not be given to another file.
  void OnUnlinked(const fs::path& path) {
    std::error_code ignored;
    fs::create_hard_link(path, mirror_ / "kept" / std::to_string(++kept_), ignored);
  }

 private:
  void SaveFile(const fs::path& path) {
    const ino_t inode = InodeOf(path);
    if (inode != 0) {
      fs::copy_file(path, mirror_ / "files" / std::to_string(inode),
                    fs::copy_options::overwrite_existing);
    }
  }

  void SaveFolder(const fs::path& path) {
    const fs::path list =
        path == root_ ? mirror_ / "root" : mirror_ / "folders" / std::to_string(InodeOf(path));
    std::ofstream out(list, std::ios::trunc);
    for (const auto& entry : fs::directory_iterator(path)) {
      out << (entry.is_directory() ? "d " : "f ") << InodeOf(entry.path()) << " "
          << entry.path().filename().native() << "\n";
    }
  }

  const fs::path root_;
  const fs::path mirror_;
  int kept_ = 0;
};

void Restore(const fs::path& mirror, const fs::path& list, const fs::path& target) {
  fs::create_directory(target);
  std::ifstream in(list);
  char kind = 0;
  std::string inode;
  for (std::string name; in >> kind >> inode && std::getline(in >> std::ws, name);) {
    if (kind == 'd') {
      Restore(mirror, mirror / "folders" / inode, target / name);
    } else if (fs::exists(mirror / "files" / inode)) {
      fs::copy_file(mirror / "files" / inode, target / name);
    } else {
      std::ofstream(target / name);
    }
    fs::permissions(target / name, kind == 'd' ? fs::perms::owner_all
                                               : fs::perms::owner_read | fs::perms::owner_write);
  }
}

struct State {
  std::mutex mutex;
  std::string directory;
  DiskFault fault;
  std::uint64_t calls = 0;
  std::unique_ptr<Mirror> mirror;
};

// Null until it is armed; never freed, for threads may outlive main's end.
State* state = nullptr;
thread_local bool inside = false;  // the mirror's own calls

bool Watches(std::string_view path) {
  return state != nullptr && !inside && path.starts_with(state->directory) &&
         (path.size() == state->directory.size() || path[state->directory.size()] == '/');
}

enum class Verdict { kGo, kHalf, kFail };

Verdict Count(const char* call, bool writes) {
  const std::uint64_t number = ++state->calls;
  const DiskFault& fault = state->fault;
  if (fault.kind == DiskFault::Kind::kNone || number < fault.at) return Verdict::kGo;
  if (number > fault.at) {
    if (!fault.stays || !fault.stays(call)) return Verdict::kGo;
  }
  if (fault.kind == DiskFault::Kind::kFail) {
    if (fault.stays && !fault.stays(call)) return Verdict::kGo;
    errno = fault.error;
    return Verdict::kFail;
  }
  if (fault.kind == DiskFault::Kind::kTear && writes) return Verdict::kHalf;
  ::raise(SIGKILL);
  return Verdict::kGo;
}

// One call at a time, so that the mirror is of one moment. `real` does the call, or with `true`
// half of it.
template <typename Real, typename After>
auto Watched(const char* call, bool writes, const Real& real, const After& after)
    -> decltype(real(false)) {
  using Result = decltype(real(false));
  std::lock_guard lock(state->mutex);
  const Verdict verdict = Count(call, writes);
  if (verdict == Verdict::kFail) {
    // posix_fallocate returns its error.
    return std::string_view(call) == "posix_fallocate" ? static_cast<Result>(errno) : Result{-1};
  }
  inside = true;
  const Result result = real(verdict == Verdict::kHalf);
  if (verdict == Verdict::kHalf) ::raise(SIGKILL);
  const int error = errno;
  if (state->mirror) after();
  errno = error;
  inside = false;
  return result;
}

template <typename Real>
auto Watched(const char* call, bool writes, const Real& real) -> decltype(real(false)) {
  return Watched(call, writes, real, [] {});
}

}  // namespace

void ArmDiskFault(const fs::path& directory, DiskFault fault, const fs::path& mirror) {
  auto fresh = std::make_unique<State>();
  fresh->directory = fs::canonical(directory);
  fresh->fault = std::move(fault);
  if (!mirror.empty()) fresh->mirror = std::make_unique<Mirror>(fresh->directory, mirror);
  state = fresh.release();
}

void SetClock(std::chrono::seconds ahead) { clock_ahead_s = ahead.count(); }

void LiftDiskFault() {
  std::lock_guard lock(state->mutex);
  state->fault = {};
}

std::uint64_t DiskCalls() {
  std::lock_guard lock(state->mutex);
  return state->calls;
}

void RestoreAfterPowerLoss(const fs::path& mirror, const fs::path& target) {
  Restore(mirror, mirror / "root", target);
}

}  // namespace weft::collector

using weft::collector::PathOf;
using weft::collector::state;
using weft::collector::Watched;
using weft::collector::Watches;

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  const auto real = REAL(write);
  if (state == nullptr || !Watches(PathOf(fd))) return real(fd, bytes, size);
  return Watched("write", true, [&](bool half) { return real(fd, bytes, half ? size / 2 : size); });
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  const auto real = REAL(pwrite);
  if (state == nullptr || !Watches(PathOf(fd))) return real(fd, bytes, size, offset);
  return Watched("pwrite", true,
                 [&](bool half) { return real(fd, bytes, half ? size / 2 : size, offset); });
}

ssize_t pwritev(int fd, const iovec* parts, int count, off_t offset) {
  const auto real = REAL(pwritev);
  if (state == nullptr || !Watches(PathOf(fd))) return real(fd, parts, count, offset);
  // Half of whole sectors, for what goes past the page cache.
  const iovec first_half{parts->iov_base, parts->iov_len / 2 & ~std::size_t{511}};
  return Watched("pwritev", true, [&](bool half) {
    return half && count == 1 ? real(fd, &first_half, 1, offset)
                              : real(fd, parts, half ? (count + 1) / 2 : count, offset);
  });
}

int ftruncate(int fd, off_t size) noexcept {
  const auto real = REAL(ftruncate);
  if (state == nullptr || !Watches(PathOf(fd))) return real(fd, size);
  return Watched("ftruncate", false, [&](bool) { return real(fd, size); });
}

int posix_fallocate(int fd, off_t offset, off_t size) {
  const auto real = REAL(posix_fallocate);
  if (state == nullptr || !Watches(PathOf(fd))) return real(fd, offset, size);
  return Watched("posix_fallocate", false, [&](bool) { return real(fd, offset, size); });
}

// Never the real one: what a process wrote outlives its death, and what a loss of power leaves is
// the mirror's affair.
static int Sync(const char* call, int fd) {
  const std::string path = state == nullptr ? std::string() : PathOf(fd);
  if (!Watches(path)) return 0;
  return Watched(
      call, false, [](bool) { return 0; }, [&] { state->mirror->OnSynced(path); });
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const long result = ::syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += weft::collector::clock_ahead_s;
  return static_cast<int>(result);
}

int fsync(int fd) { return Sync("fsync", fd); }
int fdatasync(int fd) { return Sync("fdatasync", fd); }

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  const auto real = REAL(open);
  const bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
  if (!changes || !Watches(path)) return real(path, flags, mode);
  return Watched("open", false, [&](bool) { return real(path, flags, mode); });
}

int rename(const char* from, const char* to) noexcept {
  const auto real = REAL(rename);
  if (!Watches(to)) return real(from, to);
  return Watched("rename", false, [&](bool) {
    if (state->mirror) state->mirror->OnUnlinked(to);
    return real(from, to);
  });
}

int unlink(const char* path) noexcept {
  const auto real = REAL(unlink);
  if (!Watches(path)) return real(path);
  return Watched("unlink", false, [&](bool) {
    if (state->mirror) state->mirror->OnUnlinked(path);
    return real(path);
  });
}

int remove(const char* path) noexcept {
  const auto real = REAL(remove);
  if (!Watches(path)) return real(path);
  return Watched("remove", false, [&](bool) {
    if (state->mirror) state->mirror->OnUnlinked(path);
    return real(path);
  });
}

int mkdir(const char* path, mode_t mode) noexcept {
  const auto real = REAL(mkdir);
  if (!Watches(path)) return real(path, mode);
  return Watched("mkdir", false, [&](bool) { return real(path, mode); });
}
}
