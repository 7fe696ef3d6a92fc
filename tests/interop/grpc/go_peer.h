// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace weft::interop {

/// go/main.go in a process of its own. Its standard error is the test's.
class GoPeer {
 public:
  /// Not started when tests/interop/install_peers has not installed it: a failure of the test.
  explicit GoPeer(std::vector<std::string> arguments);
  /// Ends a server, and waits.
  ~GoPeer() { Wait(); }
  GoPeer(const GoPeer&) = delete;
  GoPeer& operator=(const GoPeer&) = delete;

  /// The first line of its output; empty when there is none.
  std::string ReadLine();
  /// Its exit status; -1 without one.
  int Wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
};

}  // namespace weft::interop
