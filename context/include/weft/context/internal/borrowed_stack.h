// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft {
inline namespace v0 {
namespace internal {

/// While it lives, the calling fiber runs on another stack, from `low` up to `high`, and has the
/// same current context there. Made and destroyed on the fiber's own stack.
///
/// Threads: one at a time on each, and the fiber stays on its thread; it may wait meanwhile.
class BorrowedStack {
 public:
  BorrowedStack(const void* low, const void* high) noexcept;
  ~BorrowedStack();
  BorrowedStack(const BorrowedStack&) = delete;
  BorrowedStack& operator=(const BorrowedStack&) = delete;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
