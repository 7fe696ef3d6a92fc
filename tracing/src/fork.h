// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft {
inline namespace v0 {
namespace internal {

/// Tells whether the process is a fork of the one that made the mark: there the threads, and what
/// locks were held, are gone.
class ForkMark {
 public:
  ForkMark() noexcept;
  bool IsInChild() const noexcept;

 private:
  std::uint32_t generation_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
