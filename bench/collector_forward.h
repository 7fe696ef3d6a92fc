// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>

/// Forwards what a collector's log holds, in a process of its own.
///
///     Forwarder forwarder(data);         // before this process grows: it begins with a copy of it
///     ...                                // a collector writes its log to `data`, and ends
///     const Forwarder::Outcome outcome = forwarder.Run(address_of_the_target);
class Forwarder {
 public:
  struct Outcome {
    double runs = 0;
    double seconds = 0;
    double cpu_seconds = 0;
    double batches = 0;
    double peak_megabytes = 0;
  };

  explicit Forwarder(const std::filesystem::path& data);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Once.
  Outcome Run(const std::string& target);

 private:
  pid_t process_ = -1;
  int orders_ = -1;
  int answers_ = -1;
};
