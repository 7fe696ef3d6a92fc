// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// The same ids in every run of a test: version 7 with the time of the start, then the seed, then a
/// counter from 1.
///
/// Threads: any; which thread gets which count is not said.
class SeededIds : public IdGenerator {
 public:
  explicit SeededIds(std::uint16_t seed = 0) noexcept : seed_(seed) {}

  RunId New(std::chrono::system_clock::time_point start) noexcept override;

 private:
  const std::uint16_t seed_;
  std::atomic<std::uint64_t> count_{0};
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
