// SPDX-License-Identifier: Apache-2.0
#include "call_stack.h"

#include <cstddef>
#include <new>
#include <utility>

#include <boost/context/protected_fixedsize_stack.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/async/internal/call_stack.h>
#include <weft/context/internal/borrowed_stack.h>

#include "cq_algorithm.h"

// Sanitizers would have to be told of each switch; under them, and on other processors, a fiber
// stays where it is.
#if defined(__x86_64__) && defined(__LP64__) && defined(__ELF__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define WEFT_HAS_CALL_STACK 1

// A call and a return, unlike a switch of Boost.Context: the processor predicts the returns of all
// callers from the calls it has seen. Exceptions and debuggers go by the frame pointer.
extern "C" void weft_call_on_stack(void (*step)(void*), void* argument, void* stack);
asm(R"(
        .pushsection .text
        .p2align 4
        .globl  weft_call_on_stack
        .hidden weft_call_on_stack
        .type   weft_call_on_stack, @function
weft_call_on_stack:
        .cfi_startproc
        pushq   %rbp
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsp
        callq   *%rax
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        retq
        .cfi_endproc
        .size   weft_call_on_stack, .-weft_call_on_stack
        .popsection
)");
#endif

namespace weft {
inline namespace v0 {
namespace internal {

#ifdef WEFT_HAS_CALL_STACK

namespace {

// As much as hooks of interceptors, and what gRPC runs beside a call, can want; a page is there
// only once it was touched.
constexpr std::size_t kStackBytes = std::size_t{1} << 20;

}  // namespace

CallStack::CallStack() noexcept {
  try {
    stack_ = boost::context::protected_fixedsize_stack(kStackBytes).allocate();
  } catch (const std::bad_alloc&) {  // then nothing runs here
  }
}

// A fiber that waits there may still go on: see CqScheduler.
CallStack::~CallStack() {
  if (stack_.sp == nullptr || taken_) return;
  boost::context::protected_fixedsize_stack().deallocate(stack_);
}

void CallStack::Run(void (*step)(void*), void* argument) {
  if (taken_ || stack_.sp == nullptr) return step(argument);
  struct Taken {
    explicit Taken(bool& flag) : taken(flag) { taken = true; }
    ~Taken() { taken = false; }
    bool& taken;
  } const taken(taken_);
  const BorrowedStack borrowed(static_cast<char*>(stack_.sp) - stack_.size, stack_.sp);
  weft_call_on_stack(step, argument, stack_.sp);
}

#else

CallStack::CallStack() noexcept = default;
CallStack::~CallStack() = default;
void CallStack::Run(void (*step)(void*), void* argument) { step(argument); }

#endif

void RunOnCallStack(void (*step)(void*), void* argument) {
  CqScheduler* const scheduler = CqScheduler::Current();
  if (scheduler == nullptr) return step(argument);
  scheduler->algorithm_->call_stack().Run(step, argument);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
