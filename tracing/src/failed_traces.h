// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// A request that could not be made.
struct FailedTrace {
  std::string path;  ///< `runs/multipart`, below the base.
  std::string type;  ///< Of the body; no other header is kept, least of all a key.
  std::string coding;
  std::string body;
};

/// A folder of requests to make again, in the format of LangSmith's `FAILED_TRACES_DIR`: files
/// `trace_<time>_<random>.json`, readable by their owner only, of
///
///     {"version": 1, "endpoint": "runs/multipart", "headers": {...}, "body_base64": "..."}
///
/// and, of ours, `"target"`: for whom the request is.
///
/// Threads: any; other processes may use the folder at the same time.
class FailedTraces {
 public:
  struct Target {
    std::string name;
    bool takes_unmarked = false;  ///< What SDKs wrote is for it, too.
    std::vector<std::string> paths = {"runs/multipart", "runs/batch"};
  };

  FailedTraces(std::filesystem::path folder, std::uint64_t max_bytes, Target target)
      : folder_(std::move(folder)), max_bytes_(max_bytes), target_(std::move(target)) {}

  /// Makes the folder if need be.
  absl::Status Prepare() const;

  /// False: the folder is full, or cannot be written.
  bool Write(const FailedTrace& trace);

  /// A request of the folder that nobody else is at. It belongs to the caller until it is removed,
  /// set aside or destroyed.
  class Claim {
   public:
    Claim(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
    ~Claim();
    Claim(Claim&& other) noexcept;
    Claim& operator=(Claim&&) = delete;

    const FailedTrace& trace() const { return trace_; }
    void Remove();
    /// Nobody takes it up again; it stays for a person to look at.
    void SetAside();

   private:
    friend class FailedTraces;
    std::filesystem::path path_;
    int fd_;
    FailedTrace trace_;
  };

  /// The oldest request for our target; nothing when there is none.
  std::optional<Claim> Next();

 private:
  std::optional<Claim> Open(const std::filesystem::path& path) const;
  bool Read(Claim& claim) const;

  const std::filesystem::path folder_;
  const std::uint64_t max_bytes_;
  const Target target_;
  std::mutex mutex_;
  std::set<std::string> others_;  ///< Files that are not for us.
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
