// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <csignal>
#include <initializer_list>

namespace weft {
inline namespace v0 {
namespace internal {

void BlockSignals() noexcept {
  sigset_t blocked;
  sigfillset(&blocked);
  for (const int kept : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGPROF, SIGSEGV, SIGSYS, SIGTRAP}) {
    sigdelset(&blocked, kept);
  }
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
