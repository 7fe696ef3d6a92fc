// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include <weft/testing/fake_collector.h>

/// A collector in a process of its own, so that its work is in no figure here.
class CollectorProcess {
 public:
  /// Before gRPC has threads in this process.
  CollectorProcess() {
    int told[2];
    int stop[2];
    if (pipe(told) != 0 || pipe(stop) != 0) std::abort();
    process_ = fork();
    if (process_ == 0) {
      close(stop[1]);
      Serve(told[1], stop[0]);
      _exit(0);
    }
    close(stop[0]);
    stop_ = stop[1];
    char text[256];
    const ssize_t size = read(told[0], text, sizeof(text));
    if (size <= 0) std::abort();
    target_.assign(text, static_cast<std::size_t>(size));
  }
  CollectorProcess(const CollectorProcess&) = delete;
  CollectorProcess& operator=(const CollectorProcess&) = delete;
  ~CollectorProcess() {
    close(stop_);
    waitpid(process_, nullptr, 0);
  }

  const std::string& target() const noexcept { return target_; }

 private:
  static void Serve(int told, int stop) {
    const weft::testing::FakeCollector collector({.keep = false});
    const std::string target = collector.target();
    if (write(told, target.data(), target.size()) < 0) std::abort();
    char end = 0;
    while (read(stop, &end, 1) > 0) {
    }
  }

  pid_t process_;
  int stop_;
  std::string target_;
};
