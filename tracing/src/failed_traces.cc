// SPDX-License-Identifier: Apache-2.0
#include "failed_traces.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <boost/json.hpp>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

namespace fs = std::filesystem;

// What somebody else put there is not read without limit. An exporter's queue has 64 MiB.
constexpr std::uint64_t kMaxFile = std::uint64_t{128} << 20;
// After that long nobody is at a file that is not finished.
constexpr std::chrono::hours kUnfinishedFor{1};

std::string NewName() {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::array<char, 64> name;
  const int size = std::snprintf(name.data(), name.size(), "trace_%lld.%06lld_%08x",
                                 static_cast<long long>(micros.count() / 1'000'000),
                                 static_cast<long long>(micros.count() % 1'000'000),
                                 static_cast<unsigned>(std::random_device{}()));
  return std::string(name.data(), static_cast<std::size_t>(size));
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

/// By rename, so that no one sees half a file.
bool WriteFile(const fs::path& folder, const std::string& name, std::string_view text) {
  const fs::path unfinished = folder / (name + ".tmp");
  const int fd = ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                        S_IRUSR | S_IWUSR);
  if (fd < 0) return false;
  const bool written = WriteAll(fd, text);
  const bool closed = ::close(fd) == 0;
  std::error_code error;
  if (written && closed) fs::rename(unfinished, folder / (name + ".json"), error);
  if (written && closed && !error) return true;
  fs::remove(unfinished, error);
  return false;
}

bool IsTrace(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with("trace_") && name.ends_with(".json");
}

/// The folder's files, the oldest first, and what they hold together.
std::pair<std::vector<fs::path>, std::uint64_t> List(const fs::path& folder) {
  std::vector<fs::path> traces;
  std::uint64_t bytes = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;
    if (!at->is_regular_file(gone)) continue;
    const std::uint64_t size = at->file_size(gone);
    if (!gone) bytes += size;
    if (IsTrace(at->path())) traces.push_back(at->path());
  }
  std::sort(traces.begin(), traces.end());
  return {std::move(traces), bytes};
}

/// Files whose writer ended before they were whole: they would take room for ever.
void RemoveUnfinished(const fs::path& folder) {
  const auto old = fs::file_time_type::clock::now() - kUnfinishedFor;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with("trace_") || !name.ends_with(".tmp")) continue;
    std::error_code gone;
    const bool is_old = at->is_regular_file(gone) && at->last_write_time(gone) < old;
    if (is_old && !gone) fs::remove(at->path(), gone);
  }
}

std::string TextOf(const boost::json::object& object, std::string_view key) {
  const boost::json::value* const value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

bool IsHeaderValue(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

}  // namespace

absl::Status FailedTraces::Prepare() const {
  std::error_code error;
  if (fs::create_directories(folder_, error)) {
    fs::permissions(folder_, fs::perms::owner_all, error);
  }
  if (!error && ::access(folder_.c_str(), W_OK | X_OK) == 0) {
    RemoveUnfinished(folder_);
    return absl::OkStatus();
  }
  if (!error) error.assign(errno, std::generic_category());
  return absl::FailedPreconditionError(
      absl::StrCat("spill_dir: \"", folder_.string(), "\" cannot be written: ", error.message()));
}

bool FailedTraces::Write(const FailedTrace& trace) {
  boost::json::object headers = {{"Content-Type", trace.type}};
  if (!trace.coding.empty()) headers["Content-Encoding"] = trace.coding;
  std::string text = boost::json::serialize(boost::json::value{{"version", 1},
                                                               {"endpoint", trace.path},
                                                               {"headers", std::move(headers)},
                                                               {"target", target_.name}});
  text.pop_back();
  absl::StrAppend(&text, ",\"body_base64\":\"",
                  absl::Base64Escape(absl::string_view(trace.body.data(), trace.body.size())),
                  "\"}");
  // Two writers must not both find the last room.
  const std::lock_guard lock(mutex_);
  return List(folder_).second + text.size() <= max_bytes_ && WriteFile(folder_, NewName(), text);
}

std::optional<FailedTraces::Claim> FailedTraces::Next() {
  for (const fs::path& path : List(folder_).first) {
    const std::string name = path.filename().string();
    {
      const std::lock_guard lock(mutex_);
      if (others_.contains(name)) continue;
    }
    std::optional<Claim> claim = Open(path);
    if (claim && Read(*claim)) return claim;
    const std::lock_guard lock(mutex_);
    others_.insert(name);
  }
  return std::nullopt;
}

std::optional<FailedTraces::Claim> FailedTraces::Open(const fs::path& path) const {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  Claim claim(path, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  struct stat info {};
  // Nobody links to what another process has sent meanwhile.
  const bool usable = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink > 0 &&
                      static_cast<std::uint64_t>(info.st_size) <= kMaxFile;
  if (!usable) return std::nullopt;
  return claim;
}

bool FailedTraces::Read(Claim& claim) const {
  std::string text;
  std::array<char, 65536> block;
  for (ssize_t got = 1; got != 0;) {
    got = ::read(claim.fd_, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  boost::system::error_code error;
  const boost::json::value parsed = boost::json::parse(text, error);
  std::string().swap(text);  // A large one need not be there four times.
  const boost::json::object* const object = error ? nullptr : parsed.if_object();
  const boost::json::value* const headers = object ? object->if_contains("headers") : nullptr;
  if (headers == nullptr || !headers->is_object()) return false;
  const bool marked = object->contains("target");
  if (marked ? TextOf(*object, "target") != target_.name : !target_.takes_unmarked) return false;
  FailedTrace& trace = claim.trace_;
  trace.path = TextOf(*object, "endpoint");
  trace.type = TextOf(headers->get_object(), "Content-Type");
  trace.coding = TextOf(headers->get_object(), "Content-Encoding");
  const auto& paths = target_.paths;
  if (std::find(paths.begin(), paths.end(), trace.path) == paths.end()) return false;
  if (trace.type.empty() || !IsHeaderValue(trace.type + trace.coding)) return false;
  const boost::json::value* const body = object->if_contains("body_base64");
  if (body == nullptr || !body->is_string()) return false;
  const boost::json::string& encoded = body->get_string();
  return absl::Base64Unescape({encoded.data(), encoded.size()}, &trace.body);
}

FailedTraces::Claim::~Claim() {
  if (fd_ >= 0) ::close(fd_);
}

FailedTraces::Claim::Claim(Claim&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      trace_(std::move(other.trace_)) {}

void FailedTraces::Claim::Remove() {
  std::error_code ignored;
  fs::remove(path_, ignored);
}

void FailedTraces::Claim::SetAside() {
  std::error_code ignored;
  fs::rename(path_, fs::path(path_).concat(".refused"), ignored);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
