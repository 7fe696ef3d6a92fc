// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace weft::e2e {

/// A running `weft`, with what it writes to stderr.
///
/// Lifetime: the destructor kills it.
class WeftProcess {
 public:
  /// `environment` is added to this process's, without its LANGSMITH_ and WEFT_ variables.
  explicit WeftProcess(const std::vector<std::string>& arguments,
                       const std::map<std::string, std::string>& environment = {});
  ~WeftProcess();
  WeftProcess(const WeftProcess&) = delete;
  WeftProcess& operator=(const WeftProcess&) = delete;

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;

  /// Waits for stderr to hold `text`; false: it ended or took too long.
  bool WaitForText(std::string_view text);
  std::string Errors();

  /// Waits for the end; the exit status, or 128 + the signal. Nothing: it runs on.
  std::optional<int> WaitForEnd();

 private:
  void Read(int descriptor);

  pid_t pid_ = -1;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string errors_;
  bool closed_ = false;
  std::optional<int> status_;
  std::thread reader_;
};

/// `weft collect` on free ports.
class CollectorProcess {
 public:
  CollectorProcess(const std::filesystem::path& data, std::vector<std::string> arguments = {},
                   const std::map<std::string, std::string>& environment = {});

  /// Whether it listens; the addresses are known then.
  bool listening() const { return listening_; }
  const std::string& grpc() const { return grpc_; }
  const std::string& http() const { return http_; }
  const std::string& otlp_http() const { return otlp_http_; }
  WeftProcess& process() { return process_; }

  /// SIGTERM and the exit status.
  std::optional<int> Stop();
  /// SIGKILL.
  void Kill();

 private:
  WeftProcess process_;
  bool listening_ = false;
  std::string grpc_;
  std::string http_;
  std::string otlp_http_;
};

struct HttpAnswer {
  long status = 0;
  std::string body;
};

/// One request, without proxies; status 0 = no answer.
HttpAnswer Http(const std::string& method, const std::string& url, const std::string& body = "",
                const std::vector<std::string>& headers = {});

/// The samples of Prometheus text that begin with `name`, summed up.
double Metric(const std::string& text, std::string_view name);

}  // namespace weft::e2e
