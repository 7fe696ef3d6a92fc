// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <fstream>
#include <string>

namespace weft::collector {

/// A row of /proc/self/status, such as `VmRSS` and `VmHWM`, in bytes.
inline std::size_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::stoul(line.substr(name.size() + 1)) * 1024;
  }
  return 0;
}

/// From here on VmHWM is the peak since.
inline void ForgetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

/// With AddressSanitizer what is freed stays for a while, so that there is nothing to measure.
inline std::size_t MemoryBound([[maybe_unused]] std::size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
  return ~std::size_t{0};
#else
  return bytes;
#endif
}

}  // namespace weft::collector
