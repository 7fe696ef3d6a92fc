// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "doctor_checks.h"

namespace weft::cli {
namespace {

using collector::CollectorConfig;
using collector::TlsConfig;
using std::chrono::steady_clock;

constexpr int kSyncs = 20;
constexpr double kSlowSyncMs = 20;
constexpr std::uint64_t kGiB = 1ull << 30;
constexpr std::chrono::hours kExpirySoon{14 * 24};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

std::string Gigabytes(std::uint64_t bytes) {
  const std::uint64_t tenths = bytes * 10 / kGiB;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

bool IsLocked(const std::filesystem::path& data) {
  const Descriptor lock(::open((data / "LOCK").c_str(), O_RDONLY | O_CLOEXEC));
  return lock.get() >= 0 && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

void CheckData(const CollectorConfig& config, bool is_running, Findings& findings) {
  const std::string name = "data directory " + config.data.string();
  for (const std::string& problem : collector::CheckSurroundings(config)) {
    findings.push_back({Health::kFailure, "data", problem,
                        "name another place, or give this user the right to it"});
  }
  struct stat info {};
  if (::stat(config.data.c_str(), &info) != 0) {
    findings.push_back({Health::kOk, "data", name + " will be made at the first start"});
    return;
  }
  if (is_running) {
    findings.push_back({Health::kOk, "data", name + " is held by a running collector"});
  } else {
    findings.push_back({Health::kOk, "data", name + " is free"});
  }
  if ((info.st_mode & 077) != 0) {
    findings.push_back({Health::kWarning, "data", name + " can be read by others",
                        "chmod 700 it: it holds what agents said"});
  }
  if (::stat((config.data / "secret").c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    findings.push_back({Health::kFailure, "data",
                        (config.data / "secret").string() + " can be read by others",
                        "chmod 600 it; the collector does not start with it"});
  }
}

std::filesystem::path NearestExisting(std::filesystem::path path) {
  std::error_code error;
  path = std::filesystem::absolute(path, error);
  while (!std::filesystem::exists(path, error) && path != path.parent_path()) {
    path = path.parent_path();
  }
  return path;
}

void CheckSpace(const CollectorConfig& config, Findings& findings) {
  std::error_code error;
  const std::filesystem::space_info space =
      std::filesystem::space(NearestExisting(config.data), error);
  if (error) return;
  const std::uint64_t floor =
      config.min_free.value_or(std::min<std::uint64_t>(kGiB, space.capacity / 20));
  const std::string text = Gigabytes(space.available) + " of " + Gigabytes(space.capacity) +
                           " are free; below " + Gigabytes(floor) + " nothing is accepted";
  if (space.available < floor) {
    findings.push_back({Health::kFailure, "disk", text, "make room, or lower log.min_free"});
  } else if (config.retention_size != 0 && space.available < floor + config.retention_size) {
    findings.push_back({Health::kWarning, "disk",
                        text + ", and the log may grow to " + Gigabytes(config.retention_size),
                        "make room, or lower log.retention_size"});
  } else {
    findings.push_back({Health::kOk, "disk", text});
  }
}

std::optional<double> MedianSyncMs(const std::filesystem::path& directory) {
  std::string path = (directory / "doctor-XXXXXX").string();
  const Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  ::unlink(path.c_str());
  std::array<double, kSyncs> times{};
  const std::string block(4096, 'x');
  for (double& time : times) {
    const auto started = steady_clock::now();
    if (::write(file.get(), block.data(), block.size()) < 0 || ::fdatasync(file.get()) != 0) {
      return std::nullopt;
    }
    time = std::chrono::duration<double, std::milli>(steady_clock::now() - started).count();
  }
  std::nth_element(times.begin(), times.begin() + kSyncs / 2, times.end());
  return times[kSyncs / 2];
}

void CheckSpeed(const CollectorConfig& config, Findings& findings) {
  std::error_code error;
  if (!std::filesystem::is_directory(config.data, error)) return;
  const std::optional<double> median = MedianSyncMs(config.data);
  if (!median) {
    findings.push_back({Health::kFailure, "disk", "cannot write in " + config.data.string(),
                        "give this user the right to write there"});
    return;
  }
  const std::string text = "a sync takes " + std::to_string(*median).substr(0, 5) + " ms";
  if (config.ack == collector::AckMode::kMemory) {
    findings.push_back({Health::kWarning, "disk",
                        text + ", and with log.ack: memory a crash loses acknowledged runs",
                        "log.ack: durable, unless losing the last ones is fine"});
  } else if (*median > kSlowSyncMs) {
    findings.push_back({Health::kWarning, "disk", text + ", and every answer waits for one",
                        "put the data directory on a local SSD"});
  } else {
    findings.push_back({Health::kOk, "disk", text});
  }
}

// Empty when the address can be bound.
std::string WhyNotBound(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return ::gai_strerror(error);
  const Descriptor socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = ::bind(socket.get(), found->ai_addr, found->ai_addrlen) == 0;
  std::string reason = bound ? "" : std::strerror(errno);
  ::freeaddrinfo(found);
  return reason;
}

void CheckPorts(const CollectorConfig& config, bool is_running, Findings& findings) {
  const std::pair<const char*, const std::string*> listeners[] = {
      {"listen_grpc", &config.listen_grpc},
      {"listen_otlp_http", &config.listen_otlp_http},
      {"listen_http", &config.listen_http}};
  for (const auto& [key, address] : listeners) {
    const std::string reason = WhyNotBound(*address);
    const std::string name = std::string(key) + " " + *address;
    if (reason.empty()) {
      findings.push_back({Health::kOk, "port", name + " is free"});
    } else if (is_running && reason == std::strerror(EADDRINUSE)) {
      findings.push_back(
          {Health::kOk, "port", name + " is in use, by the running collector it seems"});
    } else {
      findings.push_back({Health::kFailure, "port", name + ": " + reason,
                          "stop what has it (ss -ltnp), or choose another address"});
    }
  }
}

void CheckCertificates(const CollectorConfig& config, Findings& findings) {
  const std::pair<const char*, const TlsConfig*> listeners[] = {
      {"listen_grpc", &config.tls_grpc},
      {"listen_otlp_http", &config.tls_otlp_http},
      {"listen_http", &config.tls_http}};
  for (const auto& [key, own] : listeners) {
    const TlsConfig tls = config.TlsOf(*own);
    const auto expiry = tls.enabled() ? collector::TlsExpiry(tls) : std::nullopt;
    if (!expiry) continue;
    const auto left =
        std::chrono::duration_cast<std::chrono::hours>(*expiry - std::chrono::system_clock::now());
    const std::string text = std::string(key) + ": " + tls.cert.string();
    const std::string days = std::to_string(left.count() / 24) + " days";
    if (left.count() < 0) {
      findings.push_back({Health::kFailure, "tls", text + " has expired",
                          "renew it and send SIGHUP: callers refuse it"});
    } else if (left < kExpirySoon) {
      findings.push_back(
          {Health::kWarning, "tls", text + " ends in " + days, "renew it and send SIGHUP"});
    } else {
      findings.push_back({Health::kOk, "tls", text + " is good for " + days});
    }
  }
}

void CheckKeys(const CollectorConfig& config, Findings& findings) {
  if (config.keys.empty()) {
    findings.push_back({Health::kOk, "keys", "no auth.keys: every caller is let in"});
  } else {
    findings.push_back(
        {Health::kOk, "keys", std::to_string(config.keys.size()) + " keys open the collector"});
  }
  if (config.allow_insecure_listen) {
    findings.push_back({Health::kWarning, "keys", "allow_insecure_listen is on",
                        "set tls.cert, tls.key and auth.keys in its place"});
  }
}

}  // namespace

void CheckMachine(const CollectorConfig& config, Findings& findings) {
  const bool is_running = IsLocked(config.data);
  CheckData(config, is_running, findings);
  CheckSpace(config, findings);
  CheckSpeed(config, findings);
  CheckPorts(config, is_running, findings);
  CheckCertificates(config, findings);
  CheckKeys(config, findings);
}

}  // namespace weft::cli
