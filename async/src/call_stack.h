// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/context/stack_context.hpp>

namespace weft {
inline namespace v0 {
namespace internal {

// The stack of OnCallStack for one thread.
class CallStack {
 public:
  CallStack() noexcept;
  ~CallStack();
  CallStack(const CallStack&) = delete;
  CallStack& operator=(const CallStack&) = delete;

  void Run(void (*step)(void*), void* argument);

 private:
  boost::context::stack_context stack_;
  bool taken_ = false;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
