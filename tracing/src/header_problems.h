// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include <weft/tracing/trace_headers.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Collects the problems of one set of headers; hostile ones may have thousands.
class ProblemList {
 public:
  static constexpr std::size_t kMost = 100;

  explicit ProblemList(std::vector<HeaderProblem>& problems) : problems_(problems) {}

  void Add(std::string_view code, std::string_view text) {
    if (problems_.size() < kMost) problems_.push_back({std::string(code), std::string(text)});
  }

 private:
  std::vector<HeaderProblem>& problems_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
